"""Names on the wire of the order service: paths, bodies, limits, error codes."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import msgspec

__all__ = [
    "AUDIENCE",
    "HELD_PATH",
    "HISTORY_PATH",
    "JOURNAL_PATH",
    "MAX_ITEMS",
    "MAX_PAGE",
    "ORDERS_PATH",
    "ORDER_PATH",
    "RETRY_PATH",
    "Change",
    "CreateOrder",
    "Held",
    "Holding",
    "Item",
    "Journal",
    "Operation",
    "Order",
    "OrderHistory",
    "OrderList",
    "OrderSummary",
    "Status",
    "UpdateOrder",
    "encode",
    "encode_order",
]

AUDIENCE = "order"
ORDERS_PATH = "/order"
ORDER_PATH = "/order/<order_id>"
HISTORY_PATH = "/order/<order_id>/history"
HELD_PATH = "/operate/held"
JOURNAL_PATH = "/journal"
"""Not below /order, where it would take the place of an order with this id."""
RETRY_PATH = "/journal/<operation_id>/retry"

MAX_ITEMS = 100
MAX_QTY = 1_000_000
MAX_PAGE = 200

ADD_ORDER = "add_order"
UPDATE_ORDER = "update_order"
CANCEL_ORDER = "cancel_order"
READ_ALL_ORDERS = "read_all_orders"
OPERATE = "operate"

_PRINTABLE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]"

# `\Z`, because `$` also matches before a final line break.
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=rf"^(?=\S)(?=.*\S\Z){_PRINTABLE}+\Z")]
"""One line of text without control characters, neither starting nor ending with white space."""
OrderId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
Code = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many pieces of one good."""

    category: Code
    code: Code
    qty: Annotated[int, msgspec.Meta(ge=1, le=MAX_QTY)]


Items = Annotated[tuple[Item, ...], msgspec.Meta(min_length=1, max_length=MAX_ITEMS)]


class CreateOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /order. Without an `id` the service mints one."""

    name: Name
    items: Items
    id: OrderId | None = None


class UpdateOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of PUT /order/{id}: the order as it shall be."""

    name: Name
    items: Items


class Order(msgspec.Struct, frozen=True):
    """An order as everybody may see it."""

    id: str
    name: str
    items: tuple[Item, ...]


class OrderSummary(msgspec.Struct, frozen=True):
    """An order in a list. Times are RFC 3339 in UTC."""

    id: str
    name: str
    items: tuple[Item, ...]
    created: str
    updated: str


class OrderList(msgspec.Struct, frozen=True):
    """A page of GET /order. `next` is the `cursor` of the following page, absent on the last one."""

    orders: tuple[OrderSummary, ...]
    next: str | msgspec.UnsetType = msgspec.UNSET


class Change(msgspec.Struct, frozen=True):
    """One change of an order: who did it (`issuer`, `subject`), through which `actor`, and when.

    `full_name` is what the issuer called a user then, null if it did not.
    """

    version: int
    action: str
    at: str
    issuer: str
    subject: str
    full_name: str | None
    actor: str | None
    name: str
    items: tuple[Item, ...]


class OrderHistory(msgspec.Struct, frozen=True):
    """Answer of GET /order/{id}/history, oldest first."""

    id: str
    changes: tuple[Change, ...]


class Operation(msgspec.Struct, frozen=True):
    """A change of an order that has no outcome yet. `next_attempt` is when it may be taken up; times are RFC 3339.

    `reason` is why the last attempt came to nothing, null before it ended. `stuck` waits for a retry by hand.
    """

    id: str
    kind: Literal["create", "update", "cancel"]
    order: str
    state: Literal["pending", "stuck"]
    issuer: str
    subject: str
    created: str
    attempt: int
    next_attempt: str
    reason: str | None


class Journal(msgspec.Struct, frozen=True):
    """Answer of GET /journal: the unfinished operations, oldest first."""

    operations: tuple[Operation, ...]


class Holding(msgspec.Struct, frozen=True):
    """Pieces of one good that are in orders, all orders together."""

    category: str
    code: str
    qty: int


class Held(msgspec.Struct, frozen=True):
    """Answer of GET /operate/held: what orders hold, by category and code, as of `version`.

    `orders` is how many there are. `settled` is false if orders were changing all the while, or have changes without an
    outcome: `unfinished` of them. Then stock may differ from it without anything being wrong.
    """

    version: int
    orders: int
    unfinished: int
    settled: bool
    goods: tuple[Holding, ...]


class Status(msgspec.Struct, frozen=True):
    """Answer of a change."""

    status: str


_encode = msgspec.json.Encoder().encode


def encode_order(order_id: str, name: str, items: tuple[Item, ...]) -> bytes:
    """Render an `Order` as `encode` does: what an id or a code may hold needs no escapes."""
    goods = ", ".join([f'{{"category":"{item.category}", "code":"{item.code}", "qty":{item.qty}}}' for item in items])
    return b'{"id":"%b", "name":%b, "items":[%b]}' % (order_id.encode(), _encode(name), goods.encode())


def encode(value: msgspec.Struct) -> bytes:
    """Render as JSON exactly as the guide prints it: a space after each comma, none after a colon."""
    if isinstance(value, Status):
        return _encode(value)  # it has one member, and no comma
    return json.dumps(msgspec.to_builtins(value), separators=(", ", ":"), ensure_ascii=False).encode()
