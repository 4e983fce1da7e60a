"""What each order may be, by what its clients were told. Pure: no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Content", "Finding", "Ledger", "Outcome", "held"]

Line = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Content:
    """An order's name and lines (category, code, pieces); every attempt gives it a name of its own."""

    name: str
    lines: tuple[Line, ...]


class Outcome(StrEnum):
    """What a client was told of a change: OK and REFUSED are promises, UNKNOWN is none."""

    OK = "ok"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Finding(StrEnum):
    """What may be wrong with an order."""

    LOST = "lost"
    """An acknowledged change is not there, or a refused one is."""
    BACK = "back"
    """A cancelled order is there again."""


@dataclass(slots=True)
class Ledger:
    """The orders of all clients. None stands for an order that is not there.

    An order that one client has to itself is certain to be what was acknowledged last, or else what one change of
    unknown outcome would make of it. Of one that many change at once only what somebody tried is possible.
    """

    certain: dict[str, Content | None] = field(default_factory=dict)
    unknown: dict[str, Content | None] = field(default_factory=dict)
    contended: dict[str, set[Content | None]] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    settled: Counter[str] = field(default_factory=Counter)
    """How changes of unknown outcome ended: `old` or `new`."""

    def record(self, order_id: str, content: Content | None, outcome: Outcome) -> None:
        """Note what a client was told of a change that makes `content` of an order that is its own.

        Raises ValueError if the outcome of an earlier one is still unknown: then nobody could tell what may be.
        """
        if order_id in self.unknown:
            msg = f"order {order_id} has a change of unknown outcome"
            raise ValueError(msg)
        self.outcomes[outcome] += 1
        if outcome is Outcome.OK:
            self.certain[order_id] = content
        elif outcome is Outcome.UNKNOWN:
            self.certain.setdefault(order_id, None)
            self.unknown[order_id] = content

    def contend(self, order_id: str, content: Content | None, outcome: Outcome) -> None:
        """Note the same of an order that many change at once."""
        self.outcomes[outcome] += 1
        if outcome is not Outcome.REFUSED:
            self.contended.setdefault(order_id, {None}).add(content)

    def settle(self, found: Mapping[str, Content]) -> list[tuple[Finding, str]]:
        """Compare with the orders that there are when nothing is under way, and take them for certain from now on."""
        findings = []
        for order_id in self.certain:
            finding = self._settle(order_id, found.get(order_id))
            if finding is not None:
                findings.append((finding, f"order {order_id} is {found.get(order_id)}, not {self.certain[order_id]}"))
        for order_id, possible in self.contended.items():
            if found.get(order_id) not in possible:
                findings.append((Finding.LOST, f"order {order_id} is {found.get(order_id)}, which nobody asked for"))
            self.contended[order_id] = {found.get(order_id)}
        strangers = found.keys() - self.certain.keys() - self.contended.keys()
        findings += [(Finding.LOST, f"order {order_id} was never acknowledged") for order_id in sorted(strangers)]
        self.unknown.clear()
        return findings

    def _settle(self, order_id: str, found: Content | None) -> Finding | None:
        certain = self.certain[order_id]
        if order_id in self.unknown:
            new = self.unknown[order_id]
            self.settled["new" if found == new else "old"] += 1
            if found == new:
                self.certain[order_id] = new
                return None
        if found == certain:
            return None
        return Finding.BACK if certain is None else Finding.LOST


def held(orders: Mapping[str, Content]) -> Counter[tuple[str, str]]:
    """Return how many pieces of each item (category, code) orders hold."""
    pieces: Counter[tuple[str, str]] = Counter()
    for content in orders.values():
        for category, code, qty in content.lines:
            pieces[category, code] += qty
    return pieces
