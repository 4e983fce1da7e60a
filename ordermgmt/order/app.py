"""HTTP of the order service: parse, guard, call one verb, render."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from http import HTTPStatus

import msgspec
from quart import Response, g, request
from quart_trio import QuartTrio

from ordermgmt.errors import InvalidRequest, NotFound
from ordermgmt.ids import is_order_id
from ordermgmt.net import steps
from ordermgmt.net.app import new_app, read_json
from ordermgmt.order import contract, domain, idempotency
from ordermgmt.order.domain import Actor, StoredOrder
from ordermgmt.order.holdings import Holdings
from ordermgmt.order.journal import Entry, State
from ordermgmt.order.operations import Journal, Orders
from ordermgmt.order.store import ChangeRow
from ordermgmt.security.audit import audit
from ordermgmt.security.guard import Guard, current_principal, public, require

__all__ = ["create_app"]

DEFAULT_PAGE = 50
CURSOR_BYTES = 8
CURSOR_LENGTH = 11


def create_app(orders: Orders, guard: Guard, *, public_url: str) -> QuartTrio:
    """Make the application. `public_url` is the base of every Location."""
    app = new_app("order")

    @app.post(contract.ORDERS_PATH)
    @require(contract.ADD_ORDER)
    async def create() -> Response:
        done = await orders.create(await read_json(contract.CreateOrder), _actor(), _key())
        location = f"{public_url}/order/{done.order_id}"
        return _status(done.order_id, "created", 201, {"location": location, "etag": domain.etag(done.version)})

    @app.get(contract.ORDERS_PATH)
    @require()
    async def list_orders() -> Response:
        everyone = contract.READ_ALL_ORDERS in current_principal().scopes
        page = await orders.newest(None if everyone else _actor(), before=_cursor(), limit=_limit())
        following = _encode_cursor(page.next) if page.next is not None else msgspec.UNSET
        return _json(contract.OrderList(tuple(_summary(order) for order in page.orders), following))

    @app.get(contract.ORDER_PATH)
    @public
    async def read(order_id: str) -> Response:
        order = await orders.read(_order_id(order_id))
        tag = domain.etag(order.version)
        if request.if_none_match.contains_weak(str(order.version)):  # RFC 9110 section 13.1.2
            response = Response(b"", 304, {"etag": tag})
            # A length here would have to be that of the 200 (RFC 9110 section 8.6).
            del response.headers["content-length"], response.headers["content-type"]
            return response
        return _json(contract.Order(order.id, order.name, order.items), headers={"etag": tag})

    @app.put(contract.ORDER_PATH)
    @require(contract.UPDATE_ORDER)
    async def update(order_id: str) -> Response:
        wanted = await read_json(contract.UpdateOrder)
        done = await orders.update(_order_id(order_id), wanted, _actor(), _if_match(), _key())
        return _status(done.order_id, "updated", headers={"etag": domain.etag(done.version)})

    @app.delete(contract.ORDER_PATH)
    @require(contract.CANCEL_ORDER)
    async def cancel(order_id: str) -> Response:
        done = await orders.cancel(_order_id(order_id), _actor(), _if_match(), _key())
        return _status(done.order_id, "removed")

    @app.get(contract.HISTORY_PATH)
    @require()
    async def history(order_id: str) -> Response:
        everyone = contract.READ_ALL_ORDERS in current_principal().scopes
        changes = await orders.history(_order_id(order_id), _actor(), all_orders=everyone)
        return _json(contract.OrderHistory(order_id, tuple(_change(change) for change in changes)))

    _add_journal(app, orders.journal)
    _add_steps(app)
    _add_held(app, orders.holdings)
    guard.protect(app)
    return app


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


def _add_steps(app: QuartTrio) -> None:
    """Tell with each answer what took how long: the gateway shows it to whom the request is of."""

    @app.before_request
    async def gather() -> None:
        g.steps = steps.gather()

    @app.after_request
    async def tell(response: Response) -> Response:
        if g.get("steps"):
            response.headers[steps.HEADER] = steps.render_steps(g.steps)
        return response


def _add_held(app: QuartTrio, holdings: Holdings) -> None:
    @app.get(contract.HELD_PATH)
    @require(contract.OPERATE)
    async def held() -> Response:
        found = await holdings.count()
        goods = tuple(contract.Holding(*good, qty) for good, qty in sorted(found.goods.items()))
        answer = contract.Held(found.state.version, found.orders, found.state.unfinished, found.settled, goods)
        return _json(answer, headers={"cache-control": "no-store"})


def _actor() -> Actor:
    principal = current_principal()
    return Actor(principal.iss, principal.sub, principal.actor)


def _key() -> str | None:
    return idempotency.parse(request.headers.getlist("idempotency-key"))


def _if_match() -> str | None:
    return ", ".join(request.headers.getlist("if-match")) or None  # a list may be sent in parts (RFC 9110 section 5.3)


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
    return contract.Change(row.version, row.action, _when(row.at), actor.iss, actor.sub, actor.via, row.name, row.items)


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
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _status(order_id: str, done: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return _json(contract.Status(f"Order '{order_id}' {done}."), status, headers)


def _json(value: msgspec.Struct, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(contract.encode(value), status, headers, content_type="application/json")
