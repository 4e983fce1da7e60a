"""The rules of the journal: how a change of an order goes from its intent to its one outcome.

intent ──▶ pending ──▶ applied      the goods moved, the order changed
            │  ▲   ├──▶ refused      inventory refused, or the intent itself did
            ▼  │   └──▶ abandoned    nothing was done, and nothing will be
           stuck                     until an operator has it tried again
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import msgspec

from ordermgmt.errors import Conflict, Error, Internal, OutcomeUnknown, Unavailable, UnprocessableContent
from ordermgmt.inventory.contract import OPERATION_ABANDONED, OPERATION_MISMATCH
from ordermgmt.order.contract import Item
from ordermgmt.order.domain import Actor, StoredOrder, check_if_match, net_deltas, require_visible
from ordermgmt.order.idempotency import KEPT, IdempotencyKey

__all__ = [
    "ABANDON_AFTER",
    "Ask",
    "Backlog",
    "Entry",
    "Kind",
    "Plan",
    "State",
    "Verdict",
    "back_off",
    "in_progress",
    "is_given_up",
    "judge",
    "keep_for",
    "outcome",
    "plan",
    "unknown",
]

ABANDON_AFTER = 60.0
"""Seconds after its intent from which an entry without an answer is no longer asked to be done, only to be closed."""
KEPT_WITHOUT_KEY = 600.0
"""Seconds that an outcome is kept for those who may still come with a late answer: far more than a lease."""
LONGEST_BACK_OFF = 15.0
"""Seconds after which inventory is asked again at the latest: a full backlog makes one request a second of it."""

Kind = Literal["create", "update", "cancel"]


class State(StrEnum):
    """Where an entry stands."""

    PENDING = "pending"
    STUCK = "stuck"
    APPLIED = "applied"
    REFUSED = "refused"
    ABANDONED = "abandoned"

    @property
    def is_final(self) -> bool:
        """Whether the entry has its outcome."""
        return self not in {State.PENDING, State.STUCK}


class Ask(msgspec.Struct, frozen=True):
    """What somebody wants done with an order. A cancel has neither name nor items."""

    kind: Kind
    order_id: str
    actor: Actor
    key: IdempotencyKey | None = None
    if_match: str | None = None
    name: str = ""
    items: tuple[Item, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """What the ask comes to for the order as it is: see the columns of the same names in the journal."""

    name: str
    items: tuple[Item, ...]
    deltas: Mapping[tuple[str, str], int]
    replaces: int | None


class Entry(msgspec.Struct, frozen=True):
    """An entry of the journal. Times are seconds since 1970, by the clock of the database.

    `version` is the one that the order has after it (None if it was refused at once). `holder` works on it until
    `lease_until`, as its `attempt`-th; the first is who wrote the intent.
    """

    id: str
    kind: Kind
    order_id: str
    plan: Plan
    version: int | None
    actor: Actor
    key: IdempotencyKey | None
    created_at: float
    state: State
    reason: Error | None
    holder: str
    lease_until: float
    attempt: int


class Verdict(msgspec.Struct, frozen=True):
    """Where an entry goes from here, and why if not to its end. `decided` tells whether inventory decided it."""

    state: State
    reason: Error | None = None
    decided: bool = False


@dataclass(frozen=True, slots=True)
class Backlog:
    """Entries without an outcome: how many, how many of them are stuck, and the age of the oldest in seconds."""

    unfinished: int = 0
    stuck: int = 0
    oldest: float = 0.0


def plan(ask: Ask, held: StoredOrder | None) -> Plan:
    """Work out what an ask comes to, given the order as it is.

    Raises Conflict if a new order's id is taken, NotFound, PreconditionFailed.
    """
    if ask.kind == "create":
        if held is not None:
            raise Conflict("order-exists", f"order '{ask.order_id}' exists already")
        return Plan(ask.name, ask.items, net_deltas((), ask.items), None)
    held = require_visible(held, ask.order_id)
    check_if_match(ask.if_match, held)
    if ask.kind == "cancel":
        return Plan(held.name, held.items, net_deltas(held.items, ()), held.version)
    return Plan(ask.name, ask.items, net_deltas(held.items, ask.items), held.version)


def judge(answer: Error | None, *, first: bool) -> Verdict:
    """Say what an attempt comes to: `answer` is a refusal or a failure, None if the goods moved.

    Only who wrote the intent knows that nobody asked before: so on the `first` attempt a request that surely did
    nothing closes the entry. Later on it says nothing about the ones before it.
    """
    verdict = Verdict(State.STUCK, answer)
    match answer:
        case None:
            verdict = Verdict(State.APPLIED, decided=True)
        case Conflict(code=code) if code == OPERATION_ABANDONED:
            reason = Unavailable(OPERATION_ABANDONED, "there was no answer in time; nothing was done", retry_after=1)
            verdict = Verdict(State.ABANDONED, reason, decided=True)
        case Conflict(code=code) if code == OPERATION_MISMATCH:
            pass
        case Conflict() | UnprocessableContent():
            verdict = Verdict(State.REFUSED, answer, decided=True)
        case Unavailable() if first:
            verdict = Verdict(State.ABANDONED, answer)
        case Unavailable() | OutcomeUnknown():
            verdict = Verdict(State.PENDING, answer)
    return verdict


def is_given_up(entry: Entry, now: float) -> bool:
    """Tell whether inventory is asked to close the entry rather than to do it: nobody expects it any more."""
    return entry.attempt > 1 and now - entry.created_at >= ABANDON_AFTER


def back_off(attempt: int) -> float:
    """Return the seconds to wait after this attempt failed: 1, 2, 4, 8, then 15."""
    return min(2.0 ** min(attempt - 1, 16), LONGEST_BACK_OFF)


def keep_for(entry: Entry) -> float:
    """Return the seconds that the outcome of an entry is kept."""
    return KEPT if entry.key is not None else KEPT_WITHOUT_KEY


def outcome(entry: Entry) -> int:
    """Return the version that the entry made. Raises its refusal, Unavailable if it was abandoned, OutcomeUnknown."""
    if entry.state is State.APPLIED and entry.version is not None:
        return entry.version
    if entry.state.is_final:
        raise entry.reason or Internal("no-reason", f"operation {entry.id} has no outcome")
    raise unknown()


def unknown() -> OutcomeUnknown:
    """Return the answer to whoever cannot wait for the outcome."""
    detail = "the outcome is not known yet; ask again with the same Idempotency-Key, or read the order"
    return OutcomeUnknown("outcome-unknown", detail, retry_after=1)


def in_progress(order_id: str) -> Conflict:
    """Return the refusal of a change while another one of the same order is under way."""
    return Conflict("operation-in-progress", f"another change of order '{order_id}' is under way", retry_after=1)
