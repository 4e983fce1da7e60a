"""The one way to open a database: whichever engine its location names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources.abc import Traversable
from pathlib import Path

from ordermgmt.clock import Clock
from ordermgmt.storage.database import OpenDatabase
from ordermgmt.storage.location import Location
from ordermgmt.storage.migrations import load_migrations
from ordermgmt.storage.sqlite import open_sqlite
from ordermgmt.threads import Threads

__all__ = ["open_database"]


@asynccontextmanager
async def open_database(
    location: Location, migrations: Traversable, *, threads: Threads, clock: Clock, shared: bool = False
) -> AsyncIterator[OpenDatabase]:
    """Open the database, made if there is none, and bring its schema up to date; close it in the end.

    `migrations` is a folder of files `NNNN_name.sql`, the same for both engines. `shared` tells that other processes
    write as much as this one does: on a file they take turns. Raises StartError, with one line that names the database,
    if it cannot be used.
    """
    known = load_migrations(migrations)
    if isinstance(location, Path):
        async with open_sqlite(location, known, threads=threads, clock=clock, shared=shared) as database:
            yield database
        return
    # Here, so that who uses SQLite alone needs no driver; `locate` has made sure that it is there.
    from ordermgmt.storage.postgres import open_postgres  # noqa: PLC0415

    async with open_postgres(location, known, threads=threads, clock=clock) as database:
        yield database
