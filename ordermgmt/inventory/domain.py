"""The rules of stock: never below zero or above MAX_STOCK, all lines of an operation or none, each id decided once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from ordermgmt.errors import Conflict, Error, Unavailable, UnprocessableContent
from ordermgmt.inventory.contract import (
    DUPLICATE_OPERATION,
    MAX_AGE,
    MAX_BATCH_LINES,
    MAX_OPERATIONS,
    MAX_STOCK,
    OPERATION_ABANDONED,
    OPERATION_MISMATCH,
    OUT_OF_STOCK,
    STALE_BATCH,
    STOCK_LIMIT,
    TOO_MANY_LINES,
    UNKNOWN_ITEM,
    Batch,
    Goods,
    Line,
    Operation,
    Outcome,
)

__all__ = [
    "FORGET_AFTER",
    "FORGET_AT_ONCE",
    "Claim",
    "Demand",
    "Key",
    "StoredItem",
    "apply_deltas",
    "apply_goods",
    "cents",
    "check_age",
    "check_size",
    "claim_of_goods",
    "decide",
    "demand",
    "dollars",
    "first_answer",
    "merge",
]

_LONGEST_TRANSACTION = 60.0
"""Seconds between a look at the clock and the commit; any database gives up long before."""
FORGET_AFTER = 2 * MAX_AGE + _LONGEST_TRANSACTION
"""Seconds after its acknowledgement when an operation may be forgotten: no copy of it can be let in any more.

The acknowledgement arrives at T, by the clock of the database, and its sender makes no copy after that. Clocks differ
by less than MAX_AGE: whose differs by more is refused. So the last copy has `sent_at` < T + MAX_AGE and is let in
before T + 2 MAX_AGE. One that is let in then must still find the id, as long as its transaction lasts.
"""
FORGET_AT_ONCE = 2 * MAX_OPERATIONS
"""Operations that one batch forgets at most: twice as many as it can bring, so that a backlog melts away."""


class Key(NamedTuple):
    """Which item."""

    category: str
    code: str


class StoredItem(NamedTuple):
    """An item as it is kept; `price` is in cents."""

    key: Key
    name: str
    price: int
    qty: int


class Claim(NamedTuple):
    """An operation id, and the digest that tells its content from any other."""

    id: str
    digest: str


class Demand(NamedTuple):
    """An operation as it is decided; `deltas` has each item once."""

    claim: Claim
    deltas: Mapping[Key, int]
    abandon: bool


def check_age(sent_at: float, now: float) -> None:
    """Raise Conflict if a batch is older than MAX_AGE, or that far from the future."""
    age = now - sent_at
    if abs(age) > MAX_AGE:
        msg = f"the batch was sent {age:.0f} seconds ago; only {MAX_AGE:.0f} either way are taken"
        raise Conflict(STALE_BATCH, msg)


def check_size(batch: Batch) -> None:
    """Raise UnprocessableContent if there are too many lines, or an id twice. The type has the other limits."""
    lines = sum(len(operation.lines) for operation in batch.operations)
    if lines > MAX_BATCH_LINES:
        msg = f"the operations of a batch have at most {MAX_BATCH_LINES} lines together; these have {lines}"
        raise UnprocessableContent(TOO_MANY_LINES, msg)
    seen: set[str] = set()
    for operation in batch.operations:
        if operation.id in seen:
            raise UnprocessableContent(DUPLICATE_OPERATION, f"operation {operation.id} is there twice")
        seen.add(operation.id)


def demand(operation: Operation) -> Demand:
    """Return what an operation asks for. Whether it is abandoned is no part of its content."""
    deltas = merge(operation.lines)
    digest = _digest(["lines", *([*key, delta] for key, delta in deltas.items())])
    return Demand(Claim(operation.id, digest), deltas, operation.abandon)


def claim_of_goods(key: Key, goods: Goods) -> Claim:
    """Return the id of goods to add, and the digest of what they are."""
    return Claim(goods.operation, _digest(["goods", *key, goods.add, goods.name, goods.price]))


def decide(stock: Mapping[Key, int], demands: Sequence[Demand]) -> tuple[list[Outcome], dict[Key, int]]:
    """Decide new operations one after the other: return their outcomes, and what they change altogether.

    `stock` has the items that exist among those that are asked for.
    """
    current = dict(stock)
    outcomes = []
    for one in demands:
        refusal: Error | None = None
        try:
            current |= _after(current, one)
        except (Conflict, UnprocessableContent) as error:
            refusal = error
        outcomes.append(Outcome(one.claim.id, refusal))
    changes = {key: qty - stock[key] for key, qty in current.items() if qty != stock[key]}
    return outcomes, dict(sorted(changes.items()))


def merge(lines: Iterable[Line]) -> dict[Key, int]:
    """Add up the lines of each item, in the order of the items. Lines that cancel out leave a 0."""
    deltas: Counter[Key] = Counter()
    for line in lines:
        deltas[Key(line.category, line.code)] += line.qty
    return dict(sorted(deltas.items()))


def apply_deltas(stock: Mapping[Key, int], deltas: Mapping[Key, int]) -> dict[Key, int]:
    """Return the new stock of each item in `deltas`. Pure: if anything is raised nothing is changed.

    Raises UnprocessableContent for an item that is not in `stock`, Conflict for one that would go below zero
    or above MAX_STOCK; either names the first such item.
    """
    for key in deltas:
        if key not in stock:
            raise _unknown(key, "there is no such item")
    return {key: _moved(key, stock[key], delta) for key, delta in deltas.items()}


def apply_goods(item: StoredItem | None, key: Key, goods: Goods) -> StoredItem:
    """Return the item as it shall be. Raises UnprocessableContent or Conflict."""
    name = goods.name if goods.name is not None else item and item.name
    price = cents(goods.price) if goods.price is not None else item and item.price
    if name is None or price is None:
        raise _unknown(key, "there is no such item; to add it, give its name and price")
    return StoredItem(key, name, price, _moved(key, item.qty if item else 0, goods.add))


def first_answer(known: tuple[str, Outcome] | None, claim: Claim) -> Outcome:
    """Return the first answer of an operation that was decided before; `known` is its digest and outcome.

    Raises Unavailable if it is forgotten at this very moment, which its sender has allowed.
    """
    if known is None:
        raise Unavailable("operation-forgotten", f"operation {claim.id} is being forgotten", retry_after=1)
    digest, outcome = known
    if digest == claim.digest:
        return outcome
    msg = f"operation {claim.id} was sent before with other content"
    return Outcome(claim.id, Conflict(OPERATION_MISMATCH, msg))


def cents(price: str) -> int:
    """Read dollars with two decimals as cents."""
    return int(price.replace(".", ""))


def dollars(price: int) -> str:
    """Render cents as dollars with two decimals."""
    return f"{price // 100}.{price % 100:02d}"


def _after(stock: Mapping[Key, int], wanted: Demand) -> dict[Key, int]:
    if wanted.abandon:
        raise Conflict(OPERATION_ABANDONED, f"operation {wanted.claim.id} was given up before it arrived")
    return apply_deltas(stock, wanted.deltas)


def _moved(key: Key, available: int, delta: int) -> int:
    after = available + delta
    members: dict[str, str | int] = {"category": key.category, "code": key.code, "available": available}
    if after < 0:
        msg = f"{-delta} of {key.category}/{key.code} are requested, {available} are available"
        raise Conflict(OUT_OF_STOCK, msg, members={**members, "requested": -delta})
    if after > MAX_STOCK:
        msg = f"there would be more than {MAX_STOCK} of {key.category}/{key.code}"
        raise Conflict(STOCK_LIMIT, msg, members=members)
    return after


def _unknown(key: Key, why: str) -> Error:
    members = {"category": key.category, "code": key.code}
    return UnprocessableContent(UNKNOWN_ITEM, f"{key.category}/{key.code}: {why}", members=members)


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()
