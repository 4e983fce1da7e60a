"""What a family that has ended, or was rotated meanwhile, lets nobody do: each condition of its statements."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from importlib.resources import files

import pytest

from ordermgmt.clock import SystemClock
from ordermgmt.storage import Database, Location, Transaction, open_database
from ordermgmt.sts import family_store, session_store, store
from ordermgmt.sts.domain import Authority
from ordermgmt.sts.family import Family
from ordermgmt.threads import InlineThreads
from tests.unit.authorization_setup import WEB
from tests.unit.sts_setup import ALICE, ISSUER, NOW, USERS

MIGRATIONS = files("ordermgmt.sts") / "migrations"
AUTHORITY = Authority(
    issuer=ISSUER,
    subject="alice",
    scopes=frozenset({"add_order"}),
    audience="gateway",
    expires_at=NOW + 100,
    client_id="web",
    user=ALICE,
    sid="s",
    family="f",
    revocable_by=("client:web#0", "f"),
)
FAMILY = Family("f", AUTHORITY, NOW + 1000, current="first")
Change = Callable[[Transaction, Family, str, int, int], bool]


@pytest.fixture
async def database(location: Location) -> AsyncIterator[Database]:
    def fill(transaction: Transaction) -> None:
        store.put_demo(transaction, [WEB], USERS, "f")
        session_store.add_session(transaction, "s", "cookie", "alice", NOW, NOW + 50)
        family_store.add_family(transaction, FAMILY, NOW)

    async with open_database(location, MIGRATIONS, threads=InlineThreads(), clock=SystemClock()) as opened:
        await opened.write(fill)
        yield opened


async def find(database: Database, digest: str = "first") -> Family:
    found = await database.read(lambda transaction: family_store.find_family(transaction, digest, ISSUER))
    assert found is not None
    return found


async def change(database: Database, how: Change, family: Family, successor: str) -> bool:
    return await database.write(lambda transaction: how(transaction, family, successor, NOW + 1, NOW + 101))


async def test_a_family_comes_back_as_it_was_kept(database: Database) -> None:
    assert await find(database) == FAMILY
    assert await change(database, family_store.rotate, FAMILY, "second")
    authority = replace(AUTHORITY, expires_at=NOW + 101)
    rotated = replace(FAMILY, authority=authority, current="second", previous="first", rotated_at=NOW + 1)
    assert await find(database, "first") == await find(database, "second") == rotated


@pytest.mark.parametrize("how", [family_store.rotate, family_store.repeat])
async def test_a_family_that_has_ended_meanwhile_gets_no_successor(database: Database, how: Change) -> None:
    if how is family_store.repeat:
        assert await change(database, family_store.rotate, FAMILY, "second")
    read = await find(database)
    await database.write(lambda transaction: family_store.end_family(transaction, "f", NOW + 1))
    assert not await change(database, how, read, "late")
    assert (await find(database)).current == read.current
    assert await database.read(lambda transaction: family_store.find_family(transaction, "late", ISSUER)) is None


async def test_of_two_rotations_that_read_the_same_one_holds(database: Database) -> None:
    assert await change(database, family_store.rotate, FAMILY, "second")
    assert not await change(database, family_store.rotate, FAMILY, "late")
    assert (await find(database)).current == "second"


async def test_a_repetition_does_not_reach_behind_another_rotation(database: Database) -> None:
    assert await change(database, family_store.rotate, FAMILY, "second")
    read = await find(database)
    assert await change(database, family_store.rotate, read, "third")
    assert not await change(database, family_store.repeat, read, "late")
    assert (await find(database)).current == "third"


@pytest.mark.parametrize("table", ["token_families", "sessions"])
async def test_an_access_token_that_was_left_behind_is_dead(database: Database, table: str) -> None:
    """Whatever order things happen in, an access token needs its family and its session, if that is still known."""

    def leave(transaction: Transaction) -> None:
        store.save_access_token(transaction, "token", AUTHORITY, NOW)
        transaction.execute(f"UPDATE {table} SET ended_at = {NOW}")  # noqa: S608

    await database.write(lambda transaction: store.save_access_token(transaction, "good", AUTHORITY, NOW))
    good = await database.read(lambda transaction: store.find_access_token(transaction, "good", ISSUER))
    assert good == replace(AUTHORITY, revocable_by=(*AUTHORITY.revocable_by, "good"))  # and by itself
    await database.write(leave)
    assert await database.read(lambda transaction: store.find_access_token(transaction, "token", ISSUER)) is None
