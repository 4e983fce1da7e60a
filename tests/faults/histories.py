"""What may happen to the journal: steps of a history, and which of them make a good one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hypothesis import strategies as st

from ordermgmt.inventory.domain import Key
from ordermgmt.order.contract import Item
from tests.unit.order_setup import BOOK

OTHER = Key("books", "978-1484220498")


@dataclass(frozen=True)
class Change:
    """A client asks one of the replicas for a change, and may leave before it is answered."""

    kind: Literal["create", "update", "cancel"]
    order_id: str
    books: int
    others: int
    client: str
    key: str | None
    matched: Literal["", "as it is", "as it was"]
    """Which version of the order If-Match names: none, the current one, the first that anybody saw."""
    at: int
    leaves: float | None

    @property
    def items(self) -> tuple[Item, ...]:
        return tuple(Item(*key, qty) for key, qty in ((BOOK, self.books), (OTHER, self.others)) if qty)

    @property
    def identity(self) -> str | None:
        """What the key stands for; what comes without one is asked for anew each time."""
        if self.key is None:
            return None
        return "/".join(
            (self.client, self.kind, self.key, self.order_id, f"{self.items if self.kind != 'cancel' else ''}")
        )


@dataclass(frozen=True)
class Again:
    """A client asks for the same as `back` changes ago, at this replica."""

    back: int
    at: int


@dataclass(frozen=True)
class Fault:
    """The next request of a replica to inventory, or what is written next, meets this."""

    kind: str
    at: int
    seconds: float = 0.0


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Act:
    kind: Literal["crash", "inventory stops", "inventory starts", "restock", "retry"]
    at: int


Step = Change | Again | Fault | Pause | Act

replicas = st.integers(0, 1)
changes = st.builds(
    Change,
    st.sampled_from(["create", "create", "update", "cancel"]),
    st.sampled_from(["1", "1", "2", "3"]),
    st.integers(1, 6),
    st.integers(0, 6),
    st.sampled_from(["alice", "bob"]),
    st.sampled_from([None, "k1", "k2"]),
    st.sampled_from(["", "as it is", "as it was"]),
    replicas,
    st.sampled_from([None, None, None, 0.0, 2.0]),
)
faults = st.one_of(
    st.builds(
        Fault,
        st.sampled_from([
            "lost request", "lost answer", "silent", "unreachable", "not understood",
            "storage unavailable", "storage unknown", "storage answer lost",
        ]),
        replicas,
    ),
    st.builds(Fault, st.sampled_from(["slow request", "slow answer", "copied"]), replicas, st.sampled_from([3.0, 8.0])),
    st.builds(Fault, st.sampled_from(["frozen request", "frozen answer"]), replicas, st.sampled_from([5.0, 30.0])),
    st.builds(Fault, st.just("late request"), replicas, st.sampled_from([11.0, 40.0, 62.0, 80.0, 290.0, 400.0])),
)  # fmt: skip
pauses = st.builds(Pause, st.sampled_from([0.001, 0.001, 1.5, 6.0, 16.0, 62.0]))
acts = st.builds(Act, st.sampled_from(["crash", "restock", "retry"]), replicas)
singles = st.one_of(changes, changes, st.builds(Again, st.integers(1, 3), replicas), faults, pauses, acts)


def outage(change: Change, kind: str, seconds: float) -> list[Step]:
    """Inventory is away from the first fault of a change on, until it is given up."""
    fault = Fault(kind, change.at, seconds)
    return [fault, change, Act("inventory stops", 0), Pause(62.0), Act("inventory starts", 0)]


outages = st.builds(
    outage,
    changes,
    st.sampled_from(["late request", "late request", "lost answer"]),
    st.sampled_from([70.0, 80.0, 290.0]),
)


def life(order_id: str, books: int, kinds: list[Literal["create", "update", "cancel"]], at: int) -> list[Step]:
    """Change after change of one order, each after the answer to the one before."""
    history: list[Step] = []
    for more, kind in enumerate(kinds):
        matched: Literal["", "as it is"] = "as it is" if more else ""
        history += [Change(kind, order_id, books + more, 1, "alice", None, matched, at, None), Pause(0.001)]
    # Somebody else has not heard of all that.
    history += [Change("update", order_id, books, 0, "bob", None, "as it was", 1 - at, None)]
    return history


def absence(during: list[Change], seconds: float) -> list[Step]:
    """Inventory is away for a while."""
    return [Act("inventory stops", 0), *during, Pause(seconds), Act("inventory starts", 0)]


absences = st.builds(absence, st.lists(changes, max_size=2), st.sampled_from([0.5, 6.0, 16.0]))
lives = st.builds(
    life,
    st.sampled_from(["1", "2", "3"]),
    st.sampled_from([1, 4, 8, 11]),
    st.sampled_from([["create", "update"], ["create", "update", "cancel"], ["cancel", "create"], ["update", "cancel"]]),
    replicas,
)
scenes = st.one_of(lives, lives, lives, *[singles.map(lambda step: [step])] * 6, absences, outages)
histories: st.SearchStrategy[list[Step]] = st.lists(scenes, min_size=10, max_size=25).map(
    lambda scenes: [step for scene in scenes for step in scene]
)
