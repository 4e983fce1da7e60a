"""What clients were told, and what is in the databases: both must come to the same."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ordermgmt.inventory.domain import Key

Items = Mapping[Key, int]
NOT_KEPT = {"operation-in-progress"}
"""Refusals that say nothing about the next request with the same key."""


@dataclass(frozen=True)
class Told:
    """An answer to one request. Status 0 is none: the client left, or the connection did."""

    begun: float
    ended: float
    status: int
    code: str = ""
    version: int | None = None

    @property
    def is_done(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_unknown(self) -> bool:
        return self.status in {0, 504}

    @property
    def is_decided(self) -> bool:
        return 0 < self.status < 500

    @property
    def is_final(self) -> bool:
        """Whether whoever asks again with the same key must be told the same."""
        return self.is_decided and self.code not in NOT_KEPT


@dataclass(frozen=True)
class Change:
    """A row of the changes that were made. `tag` tells which request it comes from."""

    version: int
    order_id: str
    action: str
    tag: str
    items: Items


@dataclass
class Ledger:
    """Requests by their tag. Those of one tag are copies of each other, with one key."""

    answers: dict[str, list[Told]] = field(default_factory=lambda: defaultdict(list))
    if_match: dict[str, set[int | None]] = field(default_factory=lambda: defaultdict(set))
    keyed: set[str] = field(default_factory=set)

    def check(self, changes: Iterable[Change], live: Mapping[str, Items]) -> None:
        """Compare with what was done, when nothing is under way any more."""
        by_tag: dict[str, list[Change]] = defaultdict(list)
        for change in changes:
            by_tag[change.tag].append(change)
        for tag, told in self.answers.items():
            self._check_answers(tag, told, by_tag.pop(tag, []))
        assert not by_tag, f"nobody asked for {by_tag}"
        assert self._replay(changes) == live

    def _check_answers(self, tag: str, told: list[Told], made: list[Change]) -> None:
        assert len(made) <= 1, f"{tag} was done {len(made)} times: {told}"
        done = {answer.version for answer in told if answer.is_done} - {None}
        if any(answer.is_done for answer in told):
            assert made, f"{tag} was not done, although {told}"
            assert done <= {made[0].version}
        elif not any(answer.is_unknown for answer in told):
            assert not made, f"{tag} was done, although {told}"
        if tag in self.keyed:
            final = [answer for answer in told if answer.is_final]
            for first in final:
                later = {
                    (answer.status, answer.code) for answer in told if answer.begun >= first.ended and answer.is_decided
                }
                assert later <= {(first.status, first.code)}, f"{tag} was told otherwise later: {told}"

    def _replay(self, changes: Iterable[Change]) -> dict[str, Items]:
        """Return the orders that these changes leave; each must follow from the one before."""
        orders: dict[str, Change] = {}
        for change in sorted(changes, key=lambda change: change.version):
            before = orders.get(change.order_id)
            assert (before is None) == (change.action == "created"), f"{change} after {before}"
            wanted = self.if_match[change.tag]
            assert None in wanted or not wanted or (before is not None and before.version in wanted), change
            if change.action == "cancelled":
                del orders[change.order_id]
            else:
                orders[change.order_id] = change
        return {order_id: change.items for order_id, change in orders.items()}


class Observer:
    """Looks into the files of both services at one moment."""

    def __init__(self, order: Path, inventory: Path) -> None:
        self._order = sqlite3.connect(order, isolation_level=None)
        self._inventory = sqlite3.connect(inventory, isolation_level=None)
        self.put_in = self.stock()
        """What there would be if nobody had ever ordered."""

    def close(self) -> None:
        self._order.close()
        self._inventory.close()

    def stock(self) -> Counter[Key]:
        return Counter(
            {Key(a, b): qty for a, b, qty in self._inventory.execute("SELECT category, code, qty FROM item")}
        )

    def live(self) -> dict[str, Items]:
        return {order_id: _items(items) for order_id, items in self._order.execute("SELECT id, items FROM orders")}

    def changes(self, tag: str) -> list[Change]:
        """Return all changes; `tag` is an SQL expression over a change `c` and its entry `j`."""
        rows = self._order.execute(
            f"SELECT c.version, c.order_id, c.action, {tag}, c.items FROM changes c"  # noqa: S608 - the test's own
            " LEFT JOIN journal j ON j.version = c.version"
        )
        return [
            Change(version, order_id, action, str(by), _items(items)) for version, order_id, action, by, items in rows
        ]

    def states(self) -> Counter[str]:
        return Counter(state for (state,) in self._order.execute("SELECT state FROM journal"))

    def check(self) -> None:
        """Stock and orders agree, but for changes that inventory has done and the order service is about to."""
        stock, expected = self.stock(), Counter(self.put_in)
        assert all(qty >= 0 for qty in stock.values())
        for items in self.live().values():
            expected.subtract(items)
        for entry_id, deltas in self._order.execute("SELECT id, deltas FROM journal WHERE finished_at IS NULL"):
            if self._inventory.execute("SELECT 1 FROM operation WHERE id = ? AND status = 200", (entry_id,)).fetchone():
                expected.update({Key(category, code): qty for category, code, qty in json.loads(deltas)})
        assert stock == expected


def _items(text: str) -> Items:
    return {Key(item["category"], item["code"]): item["qty"] for item in json.loads(text)}
