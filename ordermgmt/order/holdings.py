"""How many pieces of each good are in orders: what stock has to agree with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import trio

from ordermgmt.order import journal_store, store
from ordermgmt.storage import Database, Transaction

__all__ = ["Holdings", "State", "Totals"]

PAGE = 500
"""Orders of one read: about 5 ms, after which others have their turn."""
ATTEMPTS = 3
"""Counts until one finds that nothing has changed meanwhile."""
GOOD_FOR = 5.0
"""Seconds that a count of orders which did not stand still is shown to whoever asks again: it reads all of them. One
of orders that did is good until one changes."""


class State(NamedTuple):
    """What says whether orders change: the last version that was taken, and the changes without an outcome."""

    version: int
    unfinished: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What orders hold as of `state`. `settled`: no order changed while they were counted, and none is changing."""

    state: State
    orders: int
    settled: bool
    goods: Mapping[tuple[str, str], int]


class Holdings:
    """Counts what is in orders, one count at a time; the database stays the caller's."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counting = trio.Lock()
        self._last: Totals | None = None
        self._good_until = 0.0

    async def count(self) -> Totals:
        """Return what all orders hold together. Cancel-safe.

        It is read in pages, and so of one moment only if the version is the same before and after.
        """
        async with self._counting:
            state = await self._database.read(_state)
            last = self._last
            if last is not None and (last.state == state if last.settled else trio.current_time() < self._good_until):
                return last
            found = await self._count(state)
            self._last, self._good_until = found, trio.current_time() + GOOD_FOR
            return found

    async def _count(self, state: State) -> Totals:
        attempts = ATTEMPTS
        while True:
            goods, orders = await self._read_all()
            before, state = state, await self._database.read(_state)
            attempts -= 1
            if before == state or not attempts:
                return Totals(state, orders, before == state and state.unfinished == 0, goods)

    async def _read_all(self) -> tuple[Counter[tuple[str, str]], int]:
        goods: Counter[tuple[str, str]] = Counter()
        orders = 0
        before: int | None = None
        while True:
            page = await self._database.read(partial(store.newest, owner=None, before=before, limit=PAGE))
            for before, order in page:  # noqa: B007 - the last one's place is where the next page starts
                orders += 1
                for item in order.items:
                    goods[item.category, item.code] += item.qty
            if len(page) < PAGE:
                return goods, orders
            await trio.lowlevel.checkpoint()


def _state(tx: Transaction) -> State:
    return State(store.last_version(tx), journal_store.count_unfinished(tx))
