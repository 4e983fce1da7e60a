"""Runs services side by side: starts them in order, restarts one that fails, drains them in reverse order."""
