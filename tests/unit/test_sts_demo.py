from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest

from ordermgmt.clock import SystemClock
from ordermgmt.errors import StartError
from ordermgmt.security.passwords import Passwords
from ordermgmt.storage import Database, Transaction, open_database
from ordermgmt.sts import store
from ordermgmt.sts.demo import FILE_NAME, install_demo, uninstall_demo
from ordermgmt.sts.registration import Client, is_redirect_uri
from ordermgmt.threads import InlineThreads

T = TypeVar("T")
THREADS = InlineThreads()
MIGRATIONS = files("ordermgmt.sts") / "migrations"


class Crash(BaseException):
    pass


class CrashingDatabase:
    """A database whose process ends before the first change."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        return await self._database.read(fn)

    async def write(self, fn: Callable[[Transaction], T]) -> T:  # noqa: ARG002
        raise Crash

    def close(self) -> None:
        self._database.close()


async def install(database: Database, folder: Path, seed: int = 1) -> None:
    await install_demo(database, folder, entropy=Random(seed).randbytes, threads=THREADS)  # noqa: S311 - a test repeats


def secrets(folder: Path) -> dict[tuple[str, str], str]:
    lines = (line.split(" ") for line in (folder / FILE_NAME).read_text().splitlines())
    return {(kind, name): secret for kind, name, secret in lines}


async def client_secret_fits(database: Database, folder: Path, name: str = "alice-app") -> bool:
    client = await database.read(lambda transaction: store.find_client(transaction, name))
    expected = hashlib.sha256(secrets(folder)["client", name].encode()).hexdigest()
    return client is not None and client.secret_digest == expected


async def rows(database: Database, sql: str) -> list[tuple[object, ...]]:
    return await database.write(lambda transaction: transaction.execute(sql).rows)


async def test_the_first_start_makes_clients_users_and_their_file(tmp_path: Path) -> None:
    async with open_database(tmp_path / "db", MIGRATIONS, threads=THREADS, clock=SystemClock()) as database:
        await install(database, tmp_path)
        assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
        found = secrets(tmp_path)
        assert set(found) == {
            *(("client", f"{name}-app") for name in ("counter", "admin", "alice", "bob")),
            *(("user", name) for name in ("counter", "admin", "alice", "bob")),
        }
        assert len(set(found.values())) == len(found)
        assert await client_secret_fits(database, tmp_path)
        admin = await database.read(lambda transaction: store.find_client(transaction, "admin-app"))
        assert admin is not None
        assert admin.scopes == {"add_order", "update_order", "cancel_order", "read_all_orders", "operate"}
        ((digest,),) = await rows(database, "SELECT password_digest FROM users WHERE name = 'alice'")
        passwords = Passwords(THREADS, Random(2).randbytes)  # noqa: S311
        assert await passwords.verify(str(digest), found["user", "alice"])


async def test_there_is_a_public_client_without_a_secret(tmp_path: Path) -> None:
    async with open_database(tmp_path / "db", MIGRATIONS, threads=THREADS, clock=SystemClock()) as database:
        await install(database, tmp_path)
        spa = await database.read(lambda transaction: store.find_client(transaction, "demo-spa"))
        assert spa is not None
        assert (spa.public, spa.secret_digest) == (True, "")
        assert spa.grants == {"authorization_code", "refresh_token"}
        assert all(map(is_redirect_uri, spa.redirect_uris | spa.post_logout_redirect_uris))
        assert "demo-spa" not in (tmp_path / FILE_NAME).read_text()


async def test_a_database_from_before_the_public_client_gets_it(tmp_path: Path) -> None:
    async with open_database(tmp_path / "db", MIGRATIONS, threads=THREADS, clock=SystemClock()) as database:
        await install(database, tmp_path)
        fingerprint = hashlib.sha256((tmp_path / FILE_NAME).read_bytes()).hexdigest()
        await rows(database, "DELETE FROM clients WHERE id = 'demo-spa'")
        await rows(database, f"UPDATE demo_file SET fingerprint = '{fingerprint}'")  # noqa: S608
        await install(database, tmp_path)
        assert await rows(database, "SELECT id FROM clients WHERE id = 'demo-spa'") == [("demo-spa",)]


async def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    async with open_database(tmp_path / "db", MIGRATIONS, threads=THREADS, clock=SystemClock()) as database:
        await install(database, tmp_path)
        before = (tmp_path / FILE_NAME).read_bytes(), await rows(database, "SELECT * FROM users ORDER BY name")
        await install(database, tmp_path, seed=2)
        assert before == (
            (tmp_path / FILE_NAME).read_bytes(),
            await rows(database, "SELECT * FROM users ORDER BY name"),
        )


async def test_a_crash_between_file_and_database_is_made_good(tmp_path: Path) -> None:
    async with open_database(tmp_path / "db", MIGRATIONS, threads=THREADS, clock=SystemClock()) as database:
        with pytest.raises(Crash):
            await install(CrashingDatabase(database), tmp_path)
        written = (tmp_path / FILE_NAME).read_bytes()
        await install(database, tmp_path, seed=2)
        assert (tmp_path / FILE_NAME).read_bytes() == written
        assert await client_secret_fits(database, tmp_path)


async def test_a_crash_while_the_file_is_written_leaves_none_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(_: int) -> None:
        raise Crash

    async with open_database(tmp_path / "db", MIGRATIONS, threads=THREADS, clock=SystemClock()) as database:
        with monkeypatch.context() as patched, pytest.raises(Crash):
            patched.setattr("os.fsync", crash)
            await install(database, tmp_path)
        assert not (tmp_path / FILE_NAME).exists()
        assert await rows(database, "SELECT * FROM clients") == []
        await install(database, tmp_path, seed=2)
        assert await client_secret_fits(database, tmp_path)


async def test_a_lost_file_gets_new_secrets_that_work(tmp_path: Path) -> None:
    async with open_database(tmp_path / "db", MIGRATIONS, threads=THREADS, clock=SystemClock()) as database:
        await install(database, tmp_path)
        old = secrets(tmp_path)
        (tmp_path / FILE_NAME).unlink()
        with pytest.raises(Crash):
            await install(CrashingDatabase(database), tmp_path, seed=2)
        await install(database, tmp_path, seed=3)
        assert await client_secret_fits(database, tmp_path)
        assert set(old.values()).isdisjoint(secrets(tmp_path).values())


async def test_without_demo_they_are_gone_and_others_stay(tmp_path: Path) -> None:
    async with open_database(tmp_path / "db", MIGRATIONS, threads=THREADS, clock=SystemClock()) as database:
        await install(database, tmp_path)
        await rows(
            database,
            "INSERT INTO clients (id, secret_digest, grants, scopes, targets, default_audience)"
            " VALUES ('real', 'x', '', '', '', '')",
        )
        await uninstall_demo(database)
        assert await rows(database, "SELECT id FROM clients") == [("real",)]
        assert await rows(database, "SELECT name FROM users") == []
        await install(database, tmp_path)
        assert await client_secret_fits(database, tmp_path)


async def test_a_real_client_of_the_same_name_is_left_alone(tmp_path: Path) -> None:
    async with open_database(tmp_path / "db", MIGRATIONS, threads=THREADS, clock=SystemClock()) as database:
        await rows(
            database,
            "INSERT INTO clients (id, secret_digest, grants, scopes, targets, default_audience)"
            " VALUES ('alice-app', 'x', '', '', '', '')",
        )
        await install(database, tmp_path)
        found = await database.read(lambda transaction: store.find_client(transaction, "alice-app"))
        assert found == Client("alice-app", frozenset(), frozenset(), secret_digest="x")


async def test_an_incomplete_file_stops_the_start(tmp_path: Path) -> None:
    write_file(tmp_path, "client alice-app x\n")
    async with open_database(tmp_path / "db", MIGRATIONS, threads=THREADS, clock=SystemClock()) as database:
        with pytest.raises(StartError, match="not all demo secrets"):
            await install(database, tmp_path)
        assert await rows(database, "SELECT * FROM clients") == []


async def test_a_file_that_others_can_read_stops_the_start(tmp_path: Path) -> None:
    async with open_database(tmp_path / "db", MIGRATIONS, threads=THREADS, clock=SystemClock()) as database:
        await install(database, tmp_path)
        write_file(tmp_path, (tmp_path / FILE_NAME).read_text(), mode=0o640)
        with pytest.raises(StartError, match="open to other users"):
            await install(database, tmp_path)


def write_file(folder: Path, content: str, *, mode: int = 0o600) -> None:
    (folder / FILE_NAME).write_text(content)
    (folder / FILE_NAME).chmod(mode)
