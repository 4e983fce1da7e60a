"""Numbered SQL files: the schema of the order service's database."""
