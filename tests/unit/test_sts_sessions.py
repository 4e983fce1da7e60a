from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from importlib.resources import files

import pytest

from ordermgmt.clock import SystemClock
from ordermgmt.errors import NotFound
from ordermgmt.storage import Database, Location, open_database
from ordermgmt.sts import revocation_store, store
from ordermgmt.sts.registration import UserDetails
from ordermgmt.sts.sessions import Sessions
from ordermgmt.sts.store import StoredUser
from ordermgmt.threads import InlineThreads
from tests.unit.sts_setup import RULES, FakeClock

MIGRATIONS = files("ordermgmt.sts") / "migrations"
IDLE, LONGEST = RULES.session_idle_lifetime, RULES.session_lifetime
ALICE = StoredUser("alice", UserDetails("Alice", ("customer",)), frozenset({"add_order"}), "none")
BOB = replace(ALICE, name="bob")


class Setup:
    def __init__(self, database: Database) -> None:
        self.database, self.clock, self._count = database, FakeClock(), 0
        self.sessions = Sessions(database, RULES, self._entropy, self.clock)

    def _entropy(self, size: int) -> bytes:
        self._count += 1
        return self._count.to_bytes(size, "big")

    async def run(self, sql: str) -> list[tuple[object, ...]]:
        return await self.database.write(lambda transaction: transaction.execute(sql).rows)


@pytest.fixture
async def setup(location: Location) -> AsyncIterator[Setup]:
    async with open_database(location, MIGRATIONS, threads=InlineThreads(), clock=SystemClock()) as opened:
        await opened.write(lambda transaction: store.put_demo(transaction, [], [ALICE, BOB], "f"))
        yield Setup(opened)


async def test_a_session_is_found_by_its_cookie_and_nothing_else(setup: Setup) -> None:
    cookie = await setup.sessions.open_session("alice")
    session = await setup.sessions.find_session(cookie)
    assert session is not None
    assert (session.user, session.details, session.scopes) == ("alice", ALICE.details, ALICE.scopes)
    assert (session.auth_time, session.ends_at) == (setup.clock.time, setup.clock.time + IDLE)
    assert await setup.sessions.find_session(session.sid) is None
    assert await setup.sessions.find_session("") is None
    ((digest,),) = await setup.run("SELECT digest FROM sessions")
    assert cookie not in str(digest)
    assert await setup.sessions.find_session(str(digest)) is None


async def test_a_session_ends_when_it_is_not_used(setup: Setup) -> None:
    cookie = await setup.sessions.open_session("alice")
    setup.clock.time += IDLE - 1
    assert await setup.sessions.find_session(cookie) is not None
    setup.clock.time += IDLE - 1
    assert await setup.sessions.find_session(cookie) is not None
    setup.clock.time += IDLE
    assert await setup.sessions.find_session(cookie) is None


async def test_a_session_that_is_used_all_day_ends_too(setup: Setup) -> None:
    cookie = await setup.sessions.open_session("alice")
    for _ in range(LONGEST // 3600 - 1):
        setup.clock.time += 3600
        assert await setup.sessions.find_session(cookie) is not None
    setup.clock.time += 3600
    assert await setup.sessions.find_session(cookie) is None


async def test_looks_within_a_minute_cost_no_write(setup: Setup) -> None:
    cookie = await setup.sessions.open_session("alice")
    start = int(setup.clock.time)
    for seconds, noted in ((59, start), (60, start + 60), (61, start + 60), (120, start + 120)):
        setup.clock.time = start + seconds
        await setup.sessions.find_session(cookie)
        assert await setup.run("SELECT last_used_at FROM sessions") == [(noted,)]


async def test_a_logout_is_for_good(setup: Setup) -> None:
    cookie = await setup.sessions.open_session("alice")
    ended = await setup.sessions.end_session(cookie)
    assert ended is not None
    assert ended.user == "alice"
    assert await setup.sessions.find_session(cookie) is None
    assert await setup.sessions.end_session(cookie) is None
    assert await setup.database.read(lambda transaction: revocation_store.is_revoked(transaction, [ended.sid], 0.0))
    again = await setup.sessions.open_session("alice", cookie)
    other = await setup.sessions.find_session(again)
    assert other is not None
    assert other.sid != ended.sid


async def test_another_login_renews_the_session_and_changes_the_cookie(setup: Setup) -> None:
    first = await setup.sessions.open_session("alice")
    before = await setup.sessions.find_session(first)
    setup.clock.time += 100
    second = await setup.sessions.open_session("alice", first)
    after = await setup.sessions.find_session(second)
    assert before is not None
    assert after is not None
    assert (after.sid, after.auth_time) == (before.sid, before.auth_time + 100)
    assert await setup.sessions.find_session(first) is None


async def test_a_login_of_somebody_else_ends_the_session(setup: Setup) -> None:
    first = await setup.sessions.open_session("alice")
    before = await setup.sessions.find_session(first)
    second = await setup.sessions.open_session("bob", first)
    after = await setup.sessions.find_session(second)
    assert before is not None
    assert after is not None
    assert (after.user, after.sid != before.sid) == ("bob", True)
    assert await setup.sessions.find_session(first) is None


async def test_a_cookie_from_elsewhere_does_not_become_a_session(setup: Setup) -> None:
    """A cookie that somebody planted is never the one that is logged in with."""
    cookie = await setup.sessions.open_session("alice", "planted")
    assert cookie != "planted"
    assert await setup.sessions.find_session("planted") is None


@pytest.mark.parametrize("sql", ["UPDATE users SET disabled = 1", "DELETE FROM users"])
async def test_a_session_dies_with_its_user(setup: Setup, sql: str) -> None:
    cookie = await setup.sessions.open_session("alice")
    await setup.run(sql)
    assert await setup.sessions.find_session(cookie) is None
    with pytest.raises(NotFound):
        await setup.sessions.open_session("alice")


async def test_sessions_that_are_over_go_a_few_at_a_time(setup: Setup) -> None:
    for _ in range(store.PURGE + 5):
        await setup.sessions.open_session("alice")
    setup.clock.time += IDLE
    await setup.sessions.open_session("alice")
    assert await setup.run("SELECT count(*) FROM sessions") == [(6,)]
    await setup.sessions.open_session("alice")
    assert await setup.run("SELECT count(*) FROM sessions") == [(2,)]
