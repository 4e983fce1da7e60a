"""Backups of the whole suite while it serves, and their way back. For SQLite: PostgreSQL has its own tools."""
