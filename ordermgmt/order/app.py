"""HTTP of the order service: parse, guard, call one verb, render."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from hypercorn.typing import ASGIFramework
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.http import parse_etags

from ordermgmt.clock import rfc3339
from ordermgmt.errors import InvalidRequest, NotFound
from ordermgmt.ids import is_order_id
from ordermgmt.net.app import new_app
from ordermgmt.net.call import Answer, Call
from ordermgmt.net.limits import MAX_BODY
from ordermgmt.net.short_cut import ShortCut
from ordermgmt.order import contract, domain, idempotency
from ordermgmt.order.domain import Actor, StoredOrder
from ordermgmt.order.holdings import Holdings
from ordermgmt.order.journal import Entry, State
from ordermgmt.order.operations import Journal, Orders
from ordermgmt.order.store import ChangeRow
from ordermgmt.security.audit import audit
from ordermgmt.security.guard import Guard, current_principal, principal_of, public, require
from ordermgmt.security.principal import Principal

__all__ = ["create_app"]

DEFAULT_PAGE = 50
CURSOR_BYTES = 8
CURSOR_LENGTH = 11


def create_app(orders: Orders, guard: Guard, *, public_url: str) -> ASGIFramework:
    """Make the application. `public_url` is the base of every Location."""
    app = new_app("order")
    short_cut = ShortCut(app, guard, max_body=MAX_BODY, tells_steps=True)
    _add_orders(short_cut, orders, public_url)
    _add_lists(app, orders)
    _add_journal(app, orders.journal)
    _add_held(app, orders.holdings)
    guard.protect(app)
    return short_cut


def _add_orders(short_cut: ShortCut, orders: Orders, public_url: str) -> None:
    @short_cut.route(contract.ORDERS_PATH, "POST")
    @require(contract.ADD_ORDER)
    async def create(call: Call) -> Answer:
        done = await orders.create(await call.json(contract.CreateOrder), _actor_of(call), _key(call))
        headers = [("location", f"{public_url}/order/{done.order_id}"), ("etag", domain.etag(done.version))]
        return _done(done.order_id, "created", 201, headers)

    @short_cut.route(contract.ORDER_PATH, "GET")
    @public
    async def read(call: Call) -> Answer:
        order = await orders.read(_order_id(call.parameters["order_id"]))
        tag = ("etag", domain.etag(order.version))
        known = call.values(b"if-none-match")
        if known and parse_etags(", ".join(known)).contains_weak(str(order.version)):  # RFC 9110 section 13.1.2
            return Answer(304, [tag], None)
        content = contract.encode_order(order.id, order.name, order.items)
        return Answer(200, [("content-type", "application/json"), tag], content)

    @short_cut.route(contract.ORDER_PATH, "PUT")
    @require(contract.UPDATE_ORDER)
    async def update(call: Call) -> Answer:
        wanted = await call.json(contract.UpdateOrder)
        order_id = _order_id(call.parameters["order_id"])
        done = await orders.update(order_id, wanted, _actor_of(call), _if_match(call), _key(call))
        return _done(done.order_id, "updated", 200, [("etag", domain.etag(done.version))])

    @short_cut.route(contract.ORDER_PATH, "DELETE")
    @require(contract.CANCEL_ORDER)
    async def cancel(call: Call) -> Answer:
        order_id = _order_id(call.parameters["order_id"])
        done = await orders.cancel(order_id, _actor_of(call), _if_match(call), _key(call))
        return _done(done.order_id, "removed", 200)


def _add_lists(app: QuartTrio, orders: Orders) -> None:
    @app.get(contract.ORDERS_PATH)
    @require()
    async def list_orders() -> Response:
        everyone = contract.READ_ALL_ORDERS in current_principal().scopes
        page = await orders.newest(None if everyone else _actor(), before=_cursor(), limit=_limit())
        following = _encode_cursor(page.next) if page.next is not None else msgspec.UNSET
        return _json(contract.OrderList(tuple(_summary(order) for order in page.orders), following))

    @app.get(contract.HISTORY_PATH)
    @require()
    async def history(order_id: str) -> Response:
        everyone = contract.READ_ALL_ORDERS in current_principal().scopes
        changes = await orders.history(_order_id(order_id), _actor(), all_orders=everyone)
        return _json(contract.OrderHistory(order_id, tuple(_change(change) for change in changes)))


def _add_journal(app: QuartTrio, journal: Journal) -> None:
    @app.get(contract.JOURNAL_PATH)
    @require(contract.OPERATE)
    async def unfinished() -> Response:
        return _json(contract.Journal(tuple(_operation(entry) for entry in await journal.unfinished())))

    @app.post(contract.RETRY_PATH)
    @require(contract.OPERATE)
    async def retry(operation_id: str) -> Response:
        await journal.retry(operation_id)
        audit("order", "retry-operation", current_principal(), operation=operation_id)
        return _json(contract.Status(f"Operation '{operation_id}' will be tried again."), HTTPStatus.ACCEPTED)


def _add_held(app: QuartTrio, holdings: Holdings) -> None:
    @app.get(contract.HELD_PATH)
    @require(contract.OPERATE)
    async def held() -> Response:
        found = await holdings.count()
        goods = tuple(contract.Holding(*good, qty) for good, qty in sorted(found.goods.items()))
        answer = contract.Held(found.state.version, found.orders, found.state.unfinished, found.settled, goods)
        return _json(answer, headers={"cache-control": "no-store"})


def _actor() -> Actor:
    return _as_actor(current_principal())


def _actor_of(call: Call) -> Actor:
    return _as_actor(principal_of(call))


def _as_actor(principal: Principal) -> Actor:
    return Actor(principal.iss, principal.sub, principal.actor, principal.full_name)


def _key(call: Call) -> str | None:
    return idempotency.parse(call.values(b"idempotency-key"))


def _if_match(call: Call) -> str | None:
    return ", ".join(call.values(b"if-match")) or None  # a list may be sent in parts (RFC 9110 section 5.3)


def _order_id(text: str) -> str:
    if not is_order_id(text):
        raise NotFound("no-such-order", "an order id is 1 to 64 letters, digits, '_' and '-'")
    return text


def _limit() -> int:
    text = request.args.get("limit", str(DEFAULT_PAGE))
    short = len(text) <= len(str(contract.MAX_PAGE))
    if not (short and text.isascii() and text.isdigit() and 1 <= int(text) <= contract.MAX_PAGE):
        raise InvalidRequest("invalid-limit", f"limit must be a number from 1 to {contract.MAX_PAGE}")
    return int(text)


def _cursor() -> int | None:
    text = request.args.get("cursor")
    if text is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if len(text) == CURSOR_LENGTH else b""
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != CURSOR_BYTES or raw[0] & 0x80:
        raise InvalidRequest("invalid-cursor", "cursor must be the `next` of an earlier page")
    return int.from_bytes(raw, "big")


def _encode_cursor(place: int) -> str:
    return base64.urlsafe_b64encode(place.to_bytes(CURSOR_BYTES, "big")).rstrip(b"=").decode("ascii")


def _summary(order: StoredOrder) -> contract.OrderSummary:
    return contract.OrderSummary(order.id, order.name, order.items, _when(order.created_at), _when(order.updated_at))


def _change(row: ChangeRow) -> contract.Change:
    actor = row.actor
    return contract.Change(
        version=row.version,
        action=row.action,
        at=_when(row.at),
        issuer=actor.iss,
        subject=actor.sub,
        full_name=actor.full_name,
        actor=actor.via,
        name=row.name,
        items=row.items,
    )


def _operation(entry: Entry) -> contract.Operation:
    return contract.Operation(
        id=entry.id,
        kind=entry.kind,
        order=entry.order_id,
        state="stuck" if entry.state is State.STUCK else "pending",
        issuer=entry.actor.iss,
        subject=entry.actor.sub,
        created=_when(entry.created_at),
        attempt=entry.attempt,
        next_attempt=_when(entry.lease_until),
        reason=str(entry.reason) if entry.reason is not None else None,
    )


def _when(seconds: float) -> str:
    return rfc3339(seconds, "milliseconds")


def _done(order_id: str, done: str, status: int, headers: Sequence[tuple[str, str]] = ()) -> Answer:
    content = contract.encode(contract.Status(f"Order '{order_id}' {done}."))
    return Answer(status, [("content-type", "application/json"), *headers], content)


def _json(value: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(contract.encode(value), status, dict(headers or {}), content_type="application/json")
