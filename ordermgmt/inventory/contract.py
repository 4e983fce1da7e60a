"""Names on the wire of the inventory service: paths, scopes, bodies, limits, error codes.

Every change carries an operation id. The service decides an id once; whoever sends it again with the same
content gets the first answer, with other content a 409 `operation-mismatch`.

    PUT  /inventory/decrease            Movement -> Result    all items or none
    PUT  /inventory/increase            Movement -> Result    all items or none
    POST /inventory/operations          Batch -> Results      each operation decided by itself
    PUT  /inventory/{category}/{code}   Goods -> Result       201 for a new item, 200 for a known one
    GET  /inventory                     Stock                 pages: ?limit= and ?after=
    GET  /inventory/{category}          Stock
    GET  /inventory/{category}/{code}   Item
    GET  /balance                       Balances              pages, as of GET /inventory
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from ordermgmt.errors import Error

__all__ = [
    "AUDIENCE",
    "BALANCE_PATH",
    "CATEGORY_PATH",
    "CHANGE_INVENTORY",
    "DECREASE_PATH",
    "DEFAULT_PAGE",
    "DUPLICATE_OPERATION",
    "INCREASE_PATH",
    "INVENTORY_PATH",
    "ITEM_PATH",
    "MANAGE_INVENTORY",
    "MAX_ACKNOWLEDGED",
    "MAX_AGE",
    "MAX_BATCH_LINES",
    "MAX_LINES",
    "MAX_OPERATIONS",
    "MAX_PAGE",
    "MAX_QTY",
    "MAX_STOCK",
    "NO_SUCH_CATEGORY",
    "NO_SUCH_ITEM",
    "OPERATIONS_PATH",
    "OPERATION_ABANDONED",
    "OPERATION_MISMATCH",
    "OUT_OF_STOCK",
    "READ_INVENTORY",
    "STALE_BATCH",
    "STOCK_LIMIT",
    "TOO_MANY_LINES",
    "UNKNOWN_ITEM",
    "Balance",
    "Balances",
    "Batch",
    "Goods",
    "Item",
    "Line",
    "Movement",
    "Operation",
    "Outcome",
    "Pieces",
    "Result",
    "Results",
    "Stock",
    "is_name",
]

AUDIENCE = "inventory"
READ_INVENTORY = "read_inventory"
CHANGE_INVENTORY = "change_inventory"
MANAGE_INVENTORY = "manage_inventory"

INVENTORY_PATH = "/inventory"
DECREASE_PATH = "/inventory/decrease"
INCREASE_PATH = "/inventory/increase"
OPERATIONS_PATH = "/inventory/operations"
CATEGORY_PATH = "/inventory/<category>"
ITEM_PATH = "/inventory/<category>/<code>"
BALANCE_PATH = "/balance"
"""Not below INVENTORY_PATH, all of which the gateway shows to everybody."""

MAX_QTY = 1_000_000
"""Pieces that one line may move."""
MAX_STOCK = 10**12
"""Pieces of one item that there may ever be."""
MAX_LINES = 200
"""Lines of an operation: an update may give back 100 items of an order and take 100 others."""
MAX_OPERATIONS = 256
"""Operations of a batch; MAX_BATCH_LINES may come first."""
MAX_BATCH_LINES = 4096
"""Lines of all operations of a batch together: at 190 bytes for the longest, under 800 kB."""
MAX_ACKNOWLEDGED = 1024
"""Acknowledgements of a batch: at 67 bytes for the longest, under 70 kB."""
MAX_AGE = 300.0
"""Seconds after `sent_at` within which a batch must arrive. A later one is refused whole: what it asks for may have
been abandoned, acknowledged and forgotten since. Far more than any caller waits, and than clocks may differ."""
DEFAULT_PAGE = 100
MAX_PAGE = 1000

OUT_OF_STOCK = "out-of-stock"
"""409; members category, code, available and requested name the item that is short."""
STOCK_LIMIT = "stock-limit"
"""409; there would be more than MAX_STOCK pieces; members category, code and available."""
UNKNOWN_ITEM = "unknown-item"
"""422; members category and code."""
OPERATION_MISMATCH = "operation-mismatch"
"""409; the id belongs to an operation of other content. It says nothing about what that one came to."""
OPERATION_ABANDONED = "operation-abandoned"
"""409; the sender gave this operation up before it arrived: it was not applied, and never will be."""
STALE_BATCH = "stale-batch"
"""409; the batch is older than MAX_AGE, or from the future: nothing of it was done."""
DUPLICATE_OPERATION = "duplicate-operation"
"""422; the batch names an id twice: nothing of it was done."""
TOO_MANY_LINES = "too-many-lines"
"""422; the batch has more than MAX_BATCH_LINES: nothing of it was done."""
NO_SUCH_ITEM = "no-such-item"
NO_SUCH_CATEGORY = "no-such-category"

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

# `\Z`, because `$` also matches before a final line break.
Name = Annotated[str, msgspec.Meta(pattern=rf"^{_NAME}\Z")]
OperationId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+\Z")]
Price = Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]{0,8})\.[0-9]{2}\Z")]
"""US dollars, always with two decimals: `1249.00`."""


class Pieces(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many pieces of one item."""

    category: Name
    code: Name
    qty: Annotated[int, msgspec.Meta(ge=1, le=MAX_QTY)]


class Movement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pieces to take out, or to put back, under one operation id. An item named twice counts twice."""

    operation: OperationId
    items: Annotated[tuple[Pieces, ...], msgspec.Meta(min_length=1, max_length=100)]


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change of one item's stock: a negative `qty` takes, a positive one gives. Never 0."""

    category: Name
    code: Name
    qty: Annotated[int, msgspec.Meta(ge=-MAX_QTY, le=MAX_QTY)]

    def __post_init__(self) -> None:
        if self.qty == 0:
            msg = "Expected `qty` other than 0"
            raise ValueError(msg)


class Operation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes that are applied together or not at all. Lines of the same item are added up.

    With `abandon` it is not applied: an id that was decided before has its first answer, and one that was not is
    refused for good, so that a copy of it which is still on its way changes nothing.
    """

    id: OperationId
    lines: Annotated[tuple[Line, ...], msgspec.Meta(min_length=1, max_length=MAX_LINES)]
    abandon: bool = False


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Operations that travel together and are decided one by one, in this order.

    `sent_at` is the sender's time, in seconds since 1970. `acknowledged` names operations whose outcome the sender
    has applied and will never ask for again: they may be forgotten.
    """

    sent_at: Annotated[float, msgspec.Meta(ge=0, le=253402300799)]
    operations: Annotated[tuple[Operation, ...], msgspec.Meta(max_length=MAX_OPERATIONS)] = ()
    acknowledged: Annotated[tuple[OperationId, ...], msgspec.Meta(max_length=MAX_ACKNOWLEDGED)] = ()


class Goods(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Adds an item, or `add` pieces of a known one, under one operation id.

    A new item needs `name` and `price`; a known one takes over those that are given.
    """

    operation: OperationId
    add: Annotated[int, msgspec.Meta(ge=0, le=MAX_STOCK)] = 0
    name: Title | None = None
    price: Price | None = None


class Result(msgspec.Struct, frozen=True):
    """What an operation came to. `error` is a problem document (RFC 9457), there only if it was refused."""

    id: str
    status: Literal["applied", "refused"]
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Results(msgspec.Struct, frozen=True):
    """One result for each operation of a batch, in its order."""

    results: tuple[Result, ...]


class Item(msgspec.Struct, frozen=True):
    """An item as it is in stock."""

    category: str
    code: str
    name: str
    price: str
    qty: int


class Stock(msgspec.Struct, frozen=True):
    """A page of items, by category and code. `next` is the `after` of the following page, absent on the last."""

    items: tuple[Item, ...]
    next: str | msgspec.UnsetType = msgspec.UNSET


class Balance(msgspec.Struct, frozen=True):
    """Where the pieces of one item are: `adjusted` + `moved` = `qty`.

    `adjusted` pieces were added as goods altogether, the first stock among them; `moved` were given by operations,
    less those that they took: so orders hold -`moved`.
    """

    category: str
    code: str
    adjusted: int
    moved: int
    qty: int


class Balances(msgspec.Struct, frozen=True):
    """A page of balances, by category and code. `next` is the `after` of the following page, absent on the last."""

    items: tuple[Balance, ...]
    next: str | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the operation `id` came to: applied if there is no refusal, nothing changed if there is one."""

    id: str
    refusal: Error | None = None
    created: bool = False
    """Whether it made a new item."""


def is_name(text: str) -> bool:
    """Tell whether `text` may be a category or a code."""
    return re.fullmatch(_NAME, text, re.ASCII) is not None
