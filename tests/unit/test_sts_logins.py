"""Guessing passwords: how far it gets, and whom it holds up.

Where time matters a password costs 30 ms of virtual time (see `Passwords`), two at once, and no real work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from itertools import count
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest
import trio
from trio.testing import MockClock

from ordermgmt.errors import NotFound, TooManyRequests, Unavailable
from ordermgmt.security import passwords
from ordermgmt.security.passwords import AT_ONCE, EACH, QUEUE, Passwords
from ordermgmt.storage import Database, Location, Transaction, open_database
from ordermgmt.sts import account_store, login_store
from ordermgmt.sts.login import LoggedIn, Logins
from ordermgmt.sts.registration import UserDetails
from ordermgmt.sts.sessions import Sessions
from ordermgmt.sts.store import StoredUser
from ordermgmt.sts.throttle import Limit, Place, Tally, limits_on
from ordermgmt.testing.clocks import VirtualClock
from ordermgmt.threads import InlineThreads
from tests.unit.sts_setup import RULES

T = TypeVar("T")

COST = 0.03
BOUND = EACH / AT_ONCE * COST + COST
"""Seconds that a login takes while one address does its worst: 0.15."""
MIGRATIONS = files("ordermgmt.sts") / "migrations"
RIGHT = "the right password"


@dataclass
class CostModel:
    """Threads for passwords alone, in which each costs what it costs."""

    checked: int = 0

    async def run(self, fn: Callable[[], T], *, limiter: trio.CapacityLimiter | None = None) -> T:
        assert limiter is not None
        async with limiter:
            self.checked += 1
            await trio.sleep(COST)
            return fn()


@dataclass
class Site:
    """A service where users log in, and where they have been so far."""

    database: Database
    logins: Logins
    threads: CostModel
    browsers: dict[str, str] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=count)

    async def log_in(
        self, user: str, password: str = RIGHT, *, address: str = "192.0.2.1", browser: str = ""
    ) -> LoggedIn | None:
        return await self.logins.log_in(
            user, password, address=address, browser=browser or f"new browser {next(self.numbers)}"
        )

    async def outcome(self, user: str, password: str = RIGHT, *, address: str = "192.0.2.1", browser: str = "") -> str:
        """Return `in`, `wrong`, `busy`, or how long to wait."""
        try:
            logged_in = await self.log_in(user, password, address=address, browser=browser)
        except TooManyRequests as error:
            return f"wait {error.retry_after}"
        except Unavailable:
            return "busy"
        return "wrong" if logged_in is None else "in"


@asynccontextmanager
async def open_site(location: Location) -> AsyncIterator[Site]:
    threads, clock, entropy = CostModel(), VirtualClock(), Random(1).randbytes  # noqa: S311 - a test repeats
    async with open_database(location, MIGRATIONS, threads=InlineThreads(), clock=clock) as database:
        for name in ("alice", "bob"):
            user = StoredUser(name, UserDetails(name), frozenset(), f"digest of {RIGHT}")
            await database.write(partial(_add, user))
        sessions = Sessions(database, RULES, entropy, clock)
        yield Site(database, Logins(database, sessions, Passwords(threads, entropy), entropy, clock), threads)


def _add(user: StoredUser, transaction: Transaction) -> None:
    assert account_store.add_user(transaction, user)


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr(passwords, "_matches", lambda digest, password: digest == f"digest of {password.decode()}")
    async with open_site(tmp_path / "sts.sqlite") as opened:
        yield opened


async def test_ten_thousand_wrong_passwords_from_one_address_hold_up_nobody_else(
    site: Site, autojump_clock: MockClock
) -> None:
    known = await site.log_in("alice", address="198.51.100.7")
    assert known is not None
    results: list[str] = []
    slowest, done = 0.0, trio.Event()

    async def guess() -> None:
        for _ in range(200):
            results.append(await site.outcome("alice", f"guess {len(results)}"))
            await trio.sleep(0.1)

    async def honest(user: str, browser: str) -> None:
        nonlocal slowest
        while not done.is_set():
            before = trio.current_time()
            logged_in = await site.log_in(user, address="198.51.100.7", browser=browser)
            assert logged_in is not None
            browser = logged_in.browser
            slowest = max(slowest, trio.current_time() - before)
            await trio.sleep(0.7)

    async with trio.open_nursery() as others:
        others.start_soon(honest, "bob", "bob's")
        others.start_soon(honest, "alice", known.browser)
        async with trio.open_nursery() as attack:
            for _ in range(50):
                attack.start_soon(guess)
        done.set()
    assert len(results) == 10_000
    assert results.count("in") == results.count("busy") == 0
    assert 5 <= results.count("wrong") <= 12  # 20 s: five, and then after 1, 2, 4 and 8 seconds
    assert slowest <= BOUND + 1e-6
    assert await site.outcome("alice", address="203.0.113.9") == "in"  # somewhere new
    assert await site.outcome("bob", address="192.0.2.1") == "in"  # from behind the same address


async def test_one_address_cannot_fill_the_queue(site: Site, autojump_clock: MockClock) -> None:
    """All at once, each at another account: at most eight of its passwords are ever in the queue."""
    results: list[str] = []

    async def guess(number: int) -> None:
        results.append(await site.outcome(f"user{number}", "wrong"))

    async with trio.open_nursery() as attack:
        for number in range(1000):
            attack.start_soon(guess, number)
        await trio.sleep(0.001)
        before = trio.current_time()
        assert await site.outcome("bob", address="198.51.100.7") == "in"
        assert trio.current_time() - before <= BOUND
    assert results.count("wrong") <= EACH
    assert set(results) == {"wrong", "wait 1"}


async def test_a_full_queue_says_so_and_counts_nothing(site: Site, autojump_clock: MockClock) -> None:
    results: list[str] = []

    async def log_in(number: int) -> None:
        results.append(await site.outcome("alice", address=f"192.0.2.{number}"))

    async with trio.open_nursery() as crowd:
        for number in range(AT_ONCE + QUEUE + 10):
            crowd.start_soon(log_in, number)
    assert sorted(results) == ["busy"] * 10 + ["in"] * (AT_ONCE + QUEUE)


async def test_the_whole_world_cannot_lock_a_user_out(site: Site, autojump_clock: MockClock) -> None:
    known = await site.log_in("alice", address="198.51.100.7")
    assert known is not None
    results = [await site.outcome("alice", "wrong", address=f"10.0.{n // 250}.{n % 250}") for n in range(1000)]
    assert 100 <= results.count("wrong") <= 102
    assert results[-1].startswith("wait ")
    assert await site.outcome("alice", address="203.0.113.9", browser=known.browser) == "in"  # a browser that she knows
    assert await site.outcome("alice", address="198.51.100.7") == "in"  # an address that she knows
    told = await site.outcome("alice", address="203.0.113.200")
    assert told.startswith("wait ")
    assert int(told.removeprefix("wait ")) <= 60
    assert await site.outcome("bob", address="203.0.113.200") == "in"
    await trio.sleep(60)
    assert await site.outcome("alice", address="203.0.113.200") == "in"


async def test_guesses_in_a_stolen_browser_are_slowed_down_too(site: Site, autojump_clock: MockClock) -> None:
    known = await site.log_in("alice")
    assert known is not None
    results = [await site.outcome("alice", "wrong", browser=known.browser) for _ in range(7)]
    assert results == ["wrong"] * 5 + ["wait 1"] * 2
    assert await site.outcome("bob", browser=known.browser) == "in"


async def test_guesses_made_at_once_do_not_slip_through_together(site: Site, autojump_clock: MockClock) -> None:
    results: list[str] = []

    async def guess() -> None:
        results.append(await site.outcome("alice", "wrong"))

    async with trio.open_nursery() as attack:
        for _ in range(EACH):
            attack.start_soon(guess)
    assert results.count("wrong") == 5


async def test_a_right_password_ends_the_count_of_its_pair(site: Site, autojump_clock: MockClock) -> None:
    for _ in range(3):
        assert [await site.outcome("alice", "wrong") for _ in range(4)] == ["wrong"] * 4
        assert await site.outcome("alice") == "in"


async def test_whoever_hangs_up_has_had_its_guess(site: Site, autojump_clock: MockClock) -> None:
    for _ in range(5):
        with trio.move_on_after(COST / 2):
            await site.log_in("alice", "wrong")
    assert await site.outcome("alice", "wrong") == "wait 1"


@pytest.mark.parametrize("name", ["nobody", "", "\0", "x" * 5000, "disabled"])
async def test_a_user_that_is_not_there_costs_and_counts_as_much(
    site: Site, autojump_clock: MockClock, name: str
) -> None:
    await site.database.write(
        lambda transaction: account_store.add_user(
            transaction, StoredUser("disabled", UserDetails(""), frozenset(), f"digest of {RIGHT}")
        )
    )
    await site.database.write(
        lambda transaction: account_store.set_user_disabled(transaction, "disabled", disabled=True)
    )
    before, checked = trio.current_time(), site.threads.checked
    assert [await site.outcome(name) for _ in range(6)] == ["wrong"] * 5 + ["wait 1"]
    assert site.threads.checked - checked == 5
    assert trio.current_time() - before == pytest.approx(5 * COST)


async def test_a_password_that_was_changed_while_it_was_checked_is_wrong(site: Site, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_reset_after, site, COST / 2)
        assert await site.outcome("alice") == "wrong"


async def _reset_after(site: Site, seconds: float) -> None:
    await trio.sleep(seconds)
    await site.database.write(
        lambda transaction: account_store.set_user_password(transaction, "alice", "digest of something else")
    )


async def test_what_is_counted_is_forgotten_when_it_says_nothing_any_more(
    site: Site, autojump_clock: MockClock
) -> None:
    for number in range(40):
        await site.outcome(f"user{number}", "wrong", address=f"10.0.0.{number}")
    await trio.sleep(80_000)
    await trio.sleep(10_000)
    await site.outcome("alice", "wrong")
    await site.outcome("alice", "wrong")
    rows = await site.database.read(lambda transaction: transaction.execute("SELECT id FROM login_tallies").rows)
    assert len(rows) == 3


async def test_the_tables_of_logins_are_the_same_on_both_engines(location: Location, autojump_clock: MockClock) -> None:
    async with open_site(location) as site:
        limits: dict[str, Limit] = dict(
            limits_on("alice", Place("192.0.2.1", "b"), known_browser=False, known_address=False)
        )

        for expected in (1.0, 2.0):
            now = VirtualClock().now()
            tallies = await site.database.write(lambda transaction: login_store.lock_tallies(transaction, limits))
            counted = {key: limit.charge(tallies[key], now) for key, limit in limits.items()}
            assert {tally.count for tally in counted.values()} == {expected}
            await site.database.write(partial(_save, limits, counted, int(now)))
            found = await site.database.read(lambda transaction: login_store.find_tallies(transaction, limits))
            assert found == counted
        await site.database.write(lambda transaction: login_store.add_place(transaction, "d", "alice", 1))
        await site.database.write(lambda transaction: login_store.add_place(transaction, "d", "alice", 2))
        await site.database.write(lambda transaction: login_store.move_browser(transaction, "d", "e"))
        for digest, moment, known in (("d", 3, False), ("e", 3, True), ("e", 10**9, False)):
            assert known is await site.database.read(partial(_is_known, digest, moment))
        with pytest.raises(NotFound):
            await site.logins.bind_request("r", "")


def _save(limits: Mapping[str, Limit], counted: Mapping[str, Tally], now: int, transaction: Transaction) -> None:
    login_store.save_tallies(transaction, limits, counted, now)


def _is_known(digest: str, now: int, transaction: Transaction) -> bool:
    return login_store.is_known_place(transaction, digest, "alice", now)
