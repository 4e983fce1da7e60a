"""The rules of stock: never below zero, never above MAX_STOCK, all lines of an operation or none."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from ordermgmt.errors import Conflict, Error, UnprocessableContent
from ordermgmt.inventory.contract import (
    MAX_STOCK,
    OPERATION_MISMATCH,
    OUT_OF_STOCK,
    STOCK_LIMIT,
    UNKNOWN_ITEM,
    Goods,
    Line,
    Outcome,
)

__all__ = [
    "Key",
    "StoredItem",
    "apply_deltas",
    "apply_goods",
    "cents",
    "digest_of_goods",
    "digest_of_lines",
    "dollars",
    "first_answer",
    "merge",
]


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


def digest_of_lines(deltas: Mapping[Key, int]) -> str:
    """Tell operations of different effect apart: SHA-256 in hex over what is asked for, once merged."""
    return _digest(["lines", *([*key, delta] for key, delta in deltas.items())])


def digest_of_goods(key: Key, goods: Goods) -> str:
    """Tell different goods apart, as `digest_of_lines` does."""
    return _digest(["goods", *key, goods.add, goods.name, goods.price])


def first_answer(known: tuple[str, Outcome] | None, operation_id: str, digest: str) -> Outcome | None:
    """Return the first answer of an operation that was decided before; `known` is its digest and outcome."""
    if known is None or known[0] == digest:
        return known and known[1]
    msg = f"operation {operation_id} was sent before with other content"
    return Outcome(operation_id, Conflict(OPERATION_MISMATCH, msg))


def cents(price: str) -> int:
    """Read dollars with two decimals as cents."""
    return int(price.replace(".", ""))


def dollars(price: int) -> str:
    """Render cents as dollars with two decimals."""
    return f"{price // 100}.{price % 100:02d}"


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
