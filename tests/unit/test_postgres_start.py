"""Which PostgreSQL servers and schemas a start accepts, and what it makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ordermgmt.clock import SystemClock
from ordermgmt.errors import StartError
from ordermgmt.storage import Location, PostgresSchema, open_database
from ordermgmt.testing.clocks import VirtualClock
from ordermgmt.threads import InlineThreads
from tests.postgres_setup import EXTERNAL, OwnServer, PostgresServer
from tests.unit.storage_setup import NOTES, opened


async def fails(location: PostgresSchema) -> str:
    """Open a database that cannot be used, and return the one line that says why."""
    with pytest.raises(StartError) as caught:
        async with opened(location):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


@contextmanager
def setting(server: PostgresServer, statement: str, undo: str) -> Iterator[None]:
    server.execute(sql.SQL(statement), sql.SQL("SELECT pg_reload_conf(), pg_sleep(0.2)"))
    try:
        yield
    finally:
        server.execute(sql.SQL(undo), sql.SQL("SELECT pg_reload_conf(), pg_sleep(0.2)"))


async def test_a_server_without_fsync_is_refused(postgres: PostgresServer, postgres_schema: PostgresSchema) -> None:
    if not isinstance(postgres, OwnServer):
        pytest.skip(f"the server that {EXTERNAL} names is not ours to set up")
    with setting(postgres, "ALTER SYSTEM SET fsync = off", "ALTER SYSTEM RESET fsync"):
        assert (await fails(postgres_schema)).endswith(
            "the server has fsync = off: it would lose what it has acknowledged"
        )
    async with opened(postgres_schema):
        pass


async def test_a_server_that_does_not_wait_for_its_disk_is_refused(postgres_schema: PostgresSchema) -> None:
    lazy = replace(postgres_schema, dsn=make_conninfo(postgres_schema.dsn, options="-c synchronous_commit=off"))
    assert "the server has synchronous_commit = off" in await fails(lazy)


async def test_an_old_server_is_refused(postgres_schema: PostgresSchema, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordermgmt.storage.postgres.OLDEST", 990000)
    assert "99 is the oldest that will do" in await fails(postgres_schema)


async def test_a_server_that_is_not_there_is_named(postgres_schema: PostgresSchema, tmp_path: Path) -> None:
    line = await fails(PostgresSchema(f"host={tmp_path} dbname=orders", "test"))
    assert line.startswith(f"cannot use the database host={tmp_path} dbname=orders schema test: ")
    line = await fails(replace(postgres_schema, dsn=make_conninfo(postgres_schema.dsn, dbname="nowhere")))
    assert 'database "nowhere" does not exist' in line


async def test_a_newer_schema_is_refused(postgres_schema: PostgresSchema) -> None:
    async with opened(postgres_schema) as database:
        await database.write(lambda tx: tx.execute("INSERT INTO schema_migration VALUES (2, 'later', 'x')"))
    assert "written by a newer version: it has schema 2, this version knows 1" in await fails(postgres_schema)


async def test_a_migration_that_fails_leaves_nothing(postgres_schema: PostgresSchema, tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (x INTEGER);\nINSERT INTO missing VALUES (1);\n")
    with pytest.raises(StartError, match="missing"):
        async with open_database(postgres_schema, tmp_path, threads=InlineThreads(), clock=SystemClock()):
            pass
    with psycopg.connect(postgres_schema.dsn) as connection:
        assert connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'test'").fetchall() == []


@pytest.mark.parametrize("service", ["sts", "inventory", "order"])
async def test_migrations_are_the_same_files_for_both_engines(service: str, location: Location) -> None:
    migrations = files(f"ordermgmt.{service}") / "migrations"
    for _ in range(2):
        async with open_database(location, migrations, threads=InlineThreads(), clock=SystemClock()) as database:
            rows = await database.read(lambda tx: tx.execute("SELECT number FROM schema_migration ORDER BY 1").rows)
            assert [number for (number,) in rows] == list(range(1, len(rows) + 1))


async def test_services_do_not_see_each_others_tables(postgres_schema: PostgresSchema) -> None:
    async with opened(postgres_schema), opened(replace(postgres_schema, schema="Other one")) as other:
        await other.write(lambda tx: tx.execute("INSERT INTO note VALUES ('theirs')"))
        rows = await other.read(lambda tx: tx.execute("SELECT text FROM test.note").rows)
    assert rows == []


async def test_a_role_that_may_not_make_schemas_can_use_one(
    postgres: PostgresServer, postgres_schema: PostgresSchema
) -> None:
    database = str(conninfo_to_dict(postgres_schema.dsn)["dbname"])
    role = sql.Identifier(f"{database}_app")
    postgres.execute(
        sql.SQL("CREATE ROLE {} LOGIN").format(role),
        sql.SQL("CREATE SCHEMA test AUTHORIZATION {}").format(role),
        dbname=database,
    )
    try:
        user = make_conninfo(postgres_schema.dsn, user=f"{database}_app")
        async with opened(replace(postgres_schema, dsn=user)) as opened_by_role:
            assert await opened_by_role.read(lambda tx: tx.execute("SELECT * FROM note").rows) == []
    finally:
        for drop in ("DROP OWNED BY {}", "DROP ROLE {}"):
            postgres.execute(sql.SQL(drop).format(role), dbname=database)


async def test_virtual_time_is_the_databases_time_too(postgres_schema: PostgresSchema) -> None:
    clock = VirtualClock()
    async with open_database(postgres_schema, NOTES, threads=InlineThreads(), clock=clock) as database:
        assert abs(await database.write(lambda tx: tx.now()) - clock.now()) < 60
