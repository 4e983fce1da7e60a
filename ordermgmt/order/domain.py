"""The rules of orders: values in, values or an error out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from ordermgmt.errors import NotFound, PreconditionFailed, UnprocessableContent
from ordermgmt.order.contract import Item

__all__ = ["Actor", "StoredOrder", "check_if_match", "check_items", "etag", "may_see", "net_deltas", "require_visible"]


class Actor(msgspec.Struct, frozen=True):
    """Who does something: the principal (iss, sub), and the client that acts for it, if another.

    `full_name` is for those who read the history, and decides nothing.
    """

    iss: str
    sub: str
    via: str | None = None
    full_name: str | None = None


class StoredOrder(msgspec.Struct, frozen=True):
    """An order as it is kept. Times are seconds since 1970; `version` grows with each change and is never reused."""

    id: str
    name: str
    items: tuple[Item, ...]
    owner_iss: str
    owner_sub: str
    version: int
    created_at: float
    updated_at: float


def check_items(items: Iterable[Item]) -> None:
    """Refuse an order that names the same item twice: its author should say what was meant."""
    seen = Counter((item.category, item.code) for item in items)
    for (category, code), times in seen.items():
        if times > 1:
            msg = f"item {category}/{code} is named {times} times; name it once with the whole quantity"
            raise UnprocessableContent("repeated-item", msg)


def net_deltas(held: Iterable[Item], wanted: Iterable[Item]) -> Mapping[tuple[str, str], int]:
    """Return what the stock must change by when an order that holds `held` shall hold `wanted`.

    Negative takes from stock. Items that stay the same do not appear.
    """
    deltas: Counter[tuple[str, str]] = Counter()
    for item in held:
        deltas[item.category, item.code] += item.qty
    for item in wanted:
        deltas[item.category, item.code] -= item.qty
    return {key: delta for key, delta in sorted(deltas.items()) if delta}


def etag(version: int) -> str:
    """Return the strong entity tag of a version of an order."""
    return f'"{version}"'


def check_if_match(header: str | None, order: StoredOrder) -> None:
    """Check an If-Match header (RFC 9110 section 13.1.1) against the current version."""
    if header is None or header.strip() == "*":
        return
    if etag(order.version) not in [tag.strip() for tag in header.split(",")]:
        msg = f"order '{order.id}' has changed: its version is now {etag(order.version)}"
        raise PreconditionFailed("version-mismatch", msg)


def may_see(order: StoredOrder, actor: Actor, *, all_orders: bool) -> bool:
    """Tell whether `actor` may see who did what to an order: its owner, or who reads all orders."""
    return all_orders or (order.owner_iss, order.owner_sub) == (actor.iss, actor.sub)


def require_visible(order: StoredOrder | None, order_id: str) -> StoredOrder:
    """Return the order, or raise NotFound."""
    if order is None:
        raise NotFound("no-such-order", f"there is no order '{order_id}'")
    return order
