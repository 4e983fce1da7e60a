"""PostgreSQL, for when one machine is not enough: any number of replicas of a service share one schema."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import psycopg
import trio
from psycopg import sql
from psycopg_pool import ConnectionPool

from ordermgmt.clock import Clock, SystemClock
from ordermgmt.errors import StartError, Unavailable
from ordermgmt.storage.database import OpenDatabase, Transaction
from ordermgmt.storage.group_commit import GroupCommit
from ordermgmt.storage.location import PostgresSchema
from ordermgmt.storage.migrations import Migration, migrate
from ordermgmt.storage.patience import PATIENCE, one_line, patiently, unavailable
from ordermgmt.storage.postgres_connection import Pool, PostgresConnection, borrow, give_back
from ordermgmt.storage.postgres_transaction import NumberLoader, PostgresTransaction, judge
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.threads import Threads

__all__ = ["PostgresDatabase", "open_postgres"]

T = TypeVar("T")

OLDEST = 140000
"""The oldest version of the server that is still looked after by its makers."""
READERS = 4
"""Threads that read at once, each with a connection of about 10 MB on the server; the writer has one more."""
MAX_READS = 256
"""Reads that wait or run: at 0.3 ms each and 4 at once, about 20 ms for the last one. One more is refused."""
CONNECT_TIMEOUT = 2
LOCK_TIMEOUT = "1500ms"
"""Longer than a server takes to find a deadlock (1 s): then one of the two goes on, instead of both giving up."""
STATEMENT_TIMEOUT = "5s"
IDLE_TIMEOUT = "10s"
"""How long the server keeps the locks of a replica that vanished within a transaction."""
CLOSE_TIMEOUT = 2.0

_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_MIGRATIONS = 0x6F726465726D676D
"""Key of the advisory lock under which a start looks at the schema: "ordermgm" in ASCII."""


class PostgresDatabase:
    """A schema behind a pool of connections. `open_postgres` makes one and closes the pool."""

    def __init__(self, name: str, pool: Pool, threads: Threads, clock: Clock | None) -> None:
        self._name = name
        self._pool = pool
        self._threads = threads
        self._clock = clock
        self._readers = trio.CapacityLimiter(READERS)
        self._reads = 0
        self._writes = GroupCommit(lambda: PostgresConnection(pool, clock), judge, threads, database=name)

    @property
    def commits(self) -> int:
        """How many COMMITs there were."""
        return self._writes.commits

    @property
    def transactions(self) -> int:
        """How many calls of `write` got their result."""
        return self._writes.transactions

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        """Run in a thread, beside other reads and the writer. See `Database.read`."""
        if self._reads >= MAX_READS:
            raise Unavailable("storage-busy", "too many wait for the database", retry_after=1)
        self._reads += 1
        try:
            # In time or not at all: once a thread has begun, this does not interrupt it.
            with trio.move_on_after(PATIENCE):
                run = partial(self._read, fn)
                return await patiently(lambda: self._threads.run(run, limiter=self._readers), judge)
            raise unavailable(None)
        except Unavailable as error:
            if error.__cause__ is None or isinstance(error.__cause__, psycopg.Error):  # or else `fn` raised it
                get_logger("storage").error("read-failed", database=self._name, cause=one_line(error.__cause__))
            raise
        finally:
            self._reads -= 1

    async def write(self, fn: Callable[[Transaction], T]) -> T:
        """Run in a thread, under one COMMIT with those that wait. See `Database.write`."""
        return await self._writes.write(fn)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close(CLOSE_TIMEOUT)

    def _read(self, fn: Callable[[Transaction], T]) -> T:
        connection, _ = borrow(self._pool, _READ)
        transaction = PostgresTransaction(connection, self._clock)
        try:
            result = fn(transaction)
            transaction.check()
            return result
        finally:
            transaction.end()
            give_back(self._pool, connection)


@contextlib.asynccontextmanager
async def open_postgres(
    location: PostgresSchema, known: Sequence[Migration], *, threads: Threads, clock: Clock
) -> AsyncIterator[OpenDatabase]:
    """Make the schema or bring it up to date, and keep connections to it until the block is left.

    Under any clock but the system's, which means under virtual time, that clock is the database's too.
    Raises StartError, with one line that names the database, if it cannot be used.
    """
    server_time = None if isinstance(clock, SystemClock) else clock
    try:
        pool = await threads.run(partial(_open, location, known, server_time))
    except (psycopg.Error, StartError) as error:
        msg = f"cannot use the database {location}: {one_line(error)}"
        raise StartError(msg) from error
    database = PostgresDatabase(str(location), pool, threads, server_time)
    try:
        yield database
    finally:
        with trio.CancelScope(shield=True):  # bounded by the pool's own timeout
            await threads.run(database.close)


def _open(location: PostgresSchema, known: Sequence[Migration], clock: Clock | None) -> Pool:
    options: dict[str, Any] = {
        "autocommit": True,
        "connect_timeout": CONNECT_TIMEOUT,
        "application_name": "ordermgmt",
        # A server that vanished without a word is noticed by these.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }
    if location.password:
        options["password"] = location.password.reveal()
    with psycopg.connect(location.dsn, **options) as connection:
        _check_server(connection)
        _use_schema(connection, location.schema)
        _bring_up(connection, location.schema, known, clock)
    pool: Pool = ConnectionPool(
        location.dsn,
        kwargs=options,
        configure=partial(_configure, location.schema),
        min_size=1,
        max_size=READERS + 1,
        timeout=PATIENCE / 2,
        reconnect_timeout=PATIENCE,  # then the next one who needs a connection starts over, without a long pause
        num_workers=1,
        name=location.schema,
        open=False,
    )
    try:
        pool.open(wait=True, timeout=PATIENCE)
    except BaseException:
        pool.close()
        raise
    return pool


def _configure(schema: str, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Prepare a new connection of the pool."""
    _check_server(connection)
    _use_schema(connection, schema)
    connection.execute(
        f"SET statement_timeout = '{STATEMENT_TIMEOUT}'; SET lock_timeout = '{LOCK_TIMEOUT}';"
        f" SET idle_in_transaction_session_timeout = '{IDLE_TIMEOUT}'".encode()
    )


def _check_server(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Refuse a server that would acknowledge what a crash takes back, or that is too old. Raises StartError."""
    version = connection.info.server_version
    if version < OLDEST:
        msg = f"the server has version {version // 10000}; {OLDEST // 10000} is the oldest that will do"
        raise StartError(msg)
    for setting in ("fsync", "synchronous_commit"):
        ((value,),) = connection.execute("SELECT current_setting(%s)", [setting]).fetchall()
        if value == "off":
            msg = f"the server has {setting} = off: it would lose what it has acknowledged"
            raise StartError(msg)


def _use_schema(connection: psycopg.Connection[tuple[Any, ...]], schema: str) -> None:
    connection.adapters.register_loader("numeric", NumberLoader)
    connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))


def _bring_up(
    connection: psycopg.Connection[tuple[Any, ...]], schema: str, known: Sequence[Migration], clock: Clock | None
) -> None:
    """Make the schema, if there is none, and apply what it lacks; of several replicas one after the other."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MIGRATIONS])
        if connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema]).fetchone() is None:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        migrate(PostgresTransaction(connection, clock), known)
