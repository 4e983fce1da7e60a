"""Schema changes: numbered SQL files, applied once each and in order, and never edited after that."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable

from ordermgmt.errors import StartError
from ordermgmt.storage.database import Transaction

__all__ = ["Migration", "applied_migrations", "load_migrations", "migrate", "pending"]

_FILE_NAME = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql", re.ASCII)


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: str
    checksum: str
    """SHA-256 of the file, in hex."""


def load_migrations(folder: Traversable) -> tuple[Migration, ...]:
    """Read the files `NNNN_name.sql` of a folder, in order.

    Raises StartError if they are not numbered 1, 2, 3 and so on.
    """
    found = []
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        match = _FILE_NAME.fullmatch(file.name)
        if match is not None:
            content = file.read_bytes()
            checksum = hashlib.sha256(content).hexdigest()
            found.append(Migration(int(match[1]), file.name, content.decode(), checksum))
    if not found or [migration.number for migration in found] != list(range(1, len(found) + 1)):
        msg = f"{folder}: migrations are not numbered 1, 2, 3 and so on"
        raise StartError(msg)
    return tuple(found)


def pending(known: Sequence[Migration], applied: Mapping[int, str]) -> Sequence[Migration]:
    """Return the migrations that a database still lacks. `applied` maps numbers to checksums.

    Raises StartError if the database is from a newer version, or from other files of the same numbers.
    """
    newest = max(applied, default=0)
    if newest > len(known):
        msg = f"written by a newer version: it has schema {newest}, this version knows {len(known)}"
        raise StartError(msg)
    for migration in known:
        if applied.get(migration.number, migration.checksum) != migration.checksum:
            msg = f"made by another {migration.name} than the one here: not this database, or the file was edited"
            raise StartError(msg)
    return [migration for migration in known if migration.number not in applied]


def applied_migrations(transaction: Transaction) -> dict[int, str]:
    """Return the numbers of the migrations that made a database, each with its checksum."""
    return dict(transaction.execute("SELECT number, checksum FROM schema_migration").rows)


def migrate(transaction: Transaction, known: Sequence[Migration]) -> None:
    """Bring the schema up to date, within the caller's transaction. Raises StartError as `pending` does."""
    transaction.execute(
        "CREATE TABLE IF NOT EXISTS schema_migration"
        " (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL)"
    )
    for migration in pending(known, applied_migrations(transaction)):
        for statement in _statements(migration.sql):
            transaction.execute(statement)
        transaction.execute(
            "INSERT INTO schema_migration (number, name, checksum) VALUES (?, ?, ?)",
            (migration.number, migration.name, migration.checksum),
        )


def _statements(sql: str) -> Iterator[str]:
    """Split a script where a line ends a statement; `executescript` would commit first."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
