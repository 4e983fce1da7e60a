"""What orders hold is counted in pages, and said to be settled only if no order changed meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import pytest
import trio
from trio.testing import MockClock

from ordermgmt.order import holdings
from ordermgmt.order.holdings import ATTEMPTS, GOOD_FOR, Holdings
from ordermgmt.storage import Database, Transaction
from tests.unit.order_setup import ADMIN, BOOK, Replica, create, shop

T = TypeVar("T")


class Restless:
    """The database of a service, in which an order changes after the reads of these numbers."""

    def __init__(self, one: Replica, after: set[int]) -> None:
        self._database = one.database
        self._after = after
        self.reads = 0

    async def read(self, function: Callable[[Transaction], T]) -> T:
        found = await self._database.read(function)
        self.reads += 1
        if self.reads in self._after:
            await self._database.write(
                lambda tx: tx.execute("UPDATE counters SET value = value + 1 WHERE name = 'version'")
            )
        return found


def over(database: Restless) -> Holdings:
    return Holdings(cast("Database", database))


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "PAGE", 2)


async def test_all_orders_are_counted_page_by_page(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with shop(tmp_path) as one:
        for number in range(5):
            await one.orders.create(create(str(number), qty=number % 2 + 1), ADMIN)
        found = await one.orders.holdings.count()
        assert (found.goods, found.orders, found.settled, found.state.unfinished) == ({tuple(BOOK): 7}, 5, True, 0)
        await one.orders.cancel("1", ADMIN, None)
        assert (await one.orders.holdings.count()).goods == {tuple(BOOK): 5}


async def test_a_count_that_was_disturbed_is_made_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with shop(tmp_path) as one:
        await one.orders.create(create(), ADMIN)
        database = Restless(one, after={1})
        found = await over(database).count()
        assert (found.settled, found.orders, database.reads) == (True, 1, 5)  # state, and twice: page, state


async def test_what_never_stands_still_is_said_to_be_so(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with shop(tmp_path) as one:
        await one.orders.create(create(), ADMIN)
        database = Restless(one, after=set(range(1, 100)))
        counting = over(database)
        found = await counting.count()
        assert (found.settled, database.reads) == (False, 1 + 2 * ATTEMPTS)
        assert await counting.count() is found  # and is not counted again at once
        await trio.sleep(GOOD_FOR)
        assert await counting.count() is not found


async def test_a_settled_count_is_good_until_an_order_changes(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with shop(tmp_path) as one:
        await one.orders.create(create(), ADMIN)
        counting = one.orders.holdings
        found = await counting.count()
        await trio.sleep(3600)
        assert await counting.count() is found
        await one.orders.create(create("2"), ADMIN)
        assert (await counting.count()).orders == 2  # although it was counted a moment ago


async def test_a_change_without_an_outcome_unsettles_it(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with shop(tmp_path) as one:
        await one.orders.create(create(), ADMIN)
        await one.database.write(
            lambda tx: tx.execute("UPDATE journal SET finished_at = NULL, state = 'stuck', acknowledged = 0")
        )
        found = await one.orders.holdings.count()
        assert (found.settled, found.state.unfinished) == (False, 1)
