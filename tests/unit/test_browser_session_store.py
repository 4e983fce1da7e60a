"""Sessions of browsers as they are kept: each condition of the statements, on both engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from importlib.resources import files
from typing import TypeVar

import pytest

from ordermgmt.gateway import session_store as store
from ordermgmt.gateway.session_store import Lease
from ordermgmt.gateway.sessions import Limits, Login, Session
from ordermgmt.storage import Database, Location, Transaction, open_database
from ordermgmt.threads import InlineThreads

T = TypeVar("T")
NOW = 1_000_000.0
LIMITS = Limits(idle=100, absolute=1000, login=60)
SESSION = Session(
    digest="one",
    issuer="https://issuer",
    subject="alice",
    sid="sid",
    name="Alice",
    preferred_username="alice",
    scopes=frozenset({"add_order", "openid"}),
    sealed="sealed",
    refresh_at=NOW + 50,
    idle_until=NOW + 100,
    ends_at=NOW + 150,
)


class Clock:
    time = NOW

    def now(self) -> float:
        return self.time


class Kept:
    """A database with one session, and its clock."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def at(self, seconds: float, fn: Callable[[Transaction], T]) -> T:
        """Return `fn(transaction)` so many seconds later than at first."""
        self._clock.time = NOW + seconds
        return await self._database.write(fn)

    async def session(self, seconds: float = 0, digest: str = "one") -> Session | None:
        return await self.at(seconds, lambda transaction: store.find_session(transaction, digest))


@pytest.fixture
async def kept(location: Location) -> AsyncIterator[Kept]:
    clock = Clock()
    migrations = files("ordermgmt.gateway") / "migrations"
    async with open_database(location, migrations, threads=InlineThreads(), clock=clock) as database:
        await database.write(lambda transaction: store.add_session(transaction, SESSION, ""))
        yield Kept(database, clock)


async def test_a_session_is_found_until_it_is_over(kept: Kept) -> None:
    assert await kept.session() == SESSION
    assert await kept.session(99.9) == SESSION
    assert await kept.session(100) is None
    assert await kept.session(0, "two") is None


async def test_use_moves_the_end_but_not_past_the_last_one(kept: Kept) -> None:
    await kept.at(20, lambda transaction: store.touch_session(transaction, "one", LIMITS))
    assert await kept.session() == replace(SESSION, idle_until=NOW + 120)
    await kept.at(90, lambda transaction: store.touch_session(transaction, "one", LIMITS))
    assert await kept.session() == replace(SESSION, idle_until=NOW + 150)
    assert await kept.session(150) is None
    await kept.at(150, lambda transaction: store.touch_session(transaction, "one", LIMITS))
    assert await kept.session(150) is None  # what is over is not brought back


async def test_a_new_session_takes_the_place_of_the_one_before(kept: Kept) -> None:
    two = replace(SESSION, digest="two", idle_until=NOW + 500, ends_at=NOW + 500)
    await kept.at(0, lambda transaction: store.add_session(transaction, two, "one"))
    assert await kept.session() is None
    assert await kept.session(0, "two") == two
    three = replace(two, digest="three")
    await kept.at(0, lambda transaction: store.add_session(transaction, three, "none"))
    assert await kept.at(0, store.count_sessions) == 2
    assert await kept.at(500, store.count_sessions) == 0
    late = replace(two, digest="late", idle_until=NOW + 900)
    await kept.at(600, lambda transaction: store.add_session(transaction, late, ""))
    gone = await kept.at(0, lambda transaction: transaction.execute("SELECT digest FROM sessions").rows)
    assert gone == [("late",)]


def lease(holder: str, known: Session = SESSION) -> Callable[[Transaction], Lease]:
    return lambda transaction: store.take_lease(transaction, known, holder, 5)


def renewed(holder: str) -> Callable[[Transaction], bool]:
    new = replace(SESSION, sealed="new", refresh_at=NOW + 90, scopes=frozenset({"openid"}))
    return lambda transaction: store.replace_tokens(transaction, new, holder)


async def test_one_holder_at_a_time(kept: Kept) -> None:
    assert await kept.at(0, lease("a")) is Lease.TAKEN
    assert await kept.at(4.9, lease("b")) is Lease.HELD
    assert await kept.at(5, lease("b")) is Lease.TAKEN
    assert not await kept.at(5, renewed("a"))  # who was too slow
    assert await kept.at(6, renewed("b"))
    found = await kept.session(6)
    assert found is not None
    assert (found.sealed, found.refresh_at, found.scopes) == ("new", NOW + 90, frozenset({"openid"}))
    assert await kept.at(6, lease("c")) is Lease.NEEDLESS
    assert await kept.at(6, lease("c", found)) is Lease.TAKEN
    assert not await kept.at(6, renewed("b"))


async def test_a_lease_is_given_back_by_its_holder(kept: Kept) -> None:
    assert await kept.at(0, lease("a")) is Lease.TAKEN
    await kept.at(0, lambda transaction: store.release_lease(transaction, "one", "b"))
    assert await kept.at(0, lease("b")) is Lease.HELD
    await kept.at(0, lambda transaction: store.release_lease(transaction, "one", "a"))
    assert await kept.at(0, lease("b")) is Lease.TAKEN


async def test_there_is_no_lease_of_what_is_over(kept: Kept) -> None:
    assert await kept.at(100, lease("a")) is Lease.OVER
    await kept.at(0, lambda transaction: store.end_session(transaction, "one"))
    assert await kept.at(0, lease("a")) is Lease.OVER
    assert not await kept.at(0, renewed("a"))


async def test_only_the_holder_of_the_lease_ends_a_session_for_want_of_tokens(kept: Kept) -> None:
    await kept.at(0, lease("a"))
    assert await kept.at(0, lambda transaction: store.end_session(transaction, "one", holder="b")) is None
    assert await kept.session() == SESSION
    assert await kept.at(0, lambda transaction: store.end_session(transaction, "one", holder="a")) == SESSION
    assert await kept.session() is None
    assert await kept.at(0, lambda transaction: store.end_session(transaction, "one")) is None


async def test_all_sessions_of_one_at_the_issuer_end(kept: Kept) -> None:
    two, three, four = (replace(SESSION, digest=digest) for digest in ("two", "three", "four"))
    for other in (two, replace(three, sid="other"), replace(four, issuer="https://other")):
        await kept.at(0, lambda transaction, other=other: store.add_session(transaction, other, ""))  # type: ignore[misc]
    assert await kept.at(0, lambda transaction: store.end_sessions_of(transaction, "https://issuer", "sid")) == 2
    left = await kept.at(0, lambda transaction: transaction.execute("SELECT digest FROM sessions").rows)
    assert sorted(left) == [("four",), ("three",)]
    await kept.at(0, store.end_all_sessions)
    assert await kept.at(0, store.count_sessions) == 0


async def test_a_login_is_answered_once_and_in_time(kept: Kept) -> None:
    login = Login("/x", "one")
    for digest in ("a", "b"):
        await kept.at(0, lambda transaction, digest=digest: store.add_login(transaction, digest, login, 60))  # type: ignore[misc]
    assert await kept.at(59, lambda transaction: store.take_login(transaction, "a")) == login
    assert await kept.at(59, lambda transaction: store.take_login(transaction, "a")) is None
    assert await kept.at(60, lambda transaction: store.take_login(transaction, "b")) is None
    assert await kept.at(0, lambda transaction: store.take_login(transaction, "b")) is None
    await kept.at(0, lambda transaction: store.add_login(transaction, "c", login, 60))
    await kept.at(61, lambda transaction: store.add_login(transaction, "d", login, 60))
    left = await kept.at(0, lambda transaction: transaction.execute("SELECT digest FROM logins").rows)
    assert left == [("d",)]


async def test_only_so_many_logins_are_on_their_way(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_LOGINS", 2)
    login = Login("/x", "one")
    taken = [
        await kept.at(now, lambda transaction, now=now: store.add_login(transaction, f"at {now}", login, 60))  # type: ignore[misc]
        for now in (0, 1, 2, 59, 60, 61)
    ]
    assert taken == [True, True, False, False, True, True]
    left = await kept.at(0, lambda transaction: transaction.execute("SELECT digest FROM logins").rows)
    assert sorted(left) == [("at 60",), ("at 61",)]


async def test_the_newest_session_shows_which_key_is_needed(kept: Kept) -> None:
    assert await kept.at(0, store.newest_sealed) == ("one", "sealed")
    assert await kept.at(100, store.newest_sealed) is None
