"""The inventory service over HTTP. See `contract` for the routes and bodies."""

from __future__ import annotations

import hashlib
from http import HTTPStatus

import msgspec
from hypercorn.typing import ASGIFramework
from quart import Response, request

from ordermgmt.errors import InvalidRequest, NotFound
from ordermgmt.inventory.contract import (
    BALANCE_PATH,
    CATEGORY_PATH,
    CHANGE_INVENTORY,
    DECREASE_PATH,
    DEFAULT_PAGE,
    INCREASE_PATH,
    INVENTORY_PATH,
    ITEM_PATH,
    MANAGE_INVENTORY,
    MAX_PAGE,
    NO_SUCH_ITEM,
    OPERATIONS_PATH,
    READ_INVENTORY,
    Batch,
    Goods,
    Line,
    Movement,
    Operation,
    Outcome,
    Result,
    Results,
    is_name,
)
from ordermgmt.inventory.domain import Key
from ordermgmt.inventory.operations import Inventory
from ordermgmt.net import problem
from ordermgmt.net.app import App, json_response, new_app, read_json, tagged_response
from ordermgmt.net.call import Answer, Call
from ordermgmt.net.short_cut import ShortCut
from ordermgmt.security.guard import Guard, require

__all__ = ["MAX_BODY", "create_app"]

MAX_BODY = 1024 * 1024
"""Bytes of a body: the largest batch has under 870 kB, as MAX_BATCH_LINES and MAX_ACKNOWLEDGED say."""


def create_app(inventory: Inventory, guard: Guard) -> ASGIFramework:
    """Make the application; what it is given stays the caller's."""
    app = new_app("inventory", max_body=MAX_BODY)
    short_cut = ShortCut(app, guard, max_body=MAX_BODY)
    _add_batches(short_cut, inventory)
    _add_changes(app, inventory)
    _add_reads(app, inventory)
    guard.protect(app)
    return short_cut


def _add_batches(short_cut: ShortCut, inventory: Inventory) -> None:
    @short_cut.route(OPERATIONS_PATH, "POST")
    @require(CHANGE_INVENTORY)
    async def operations(call: Call) -> Answer:
        outcomes = await inventory.apply(await call.json(Batch))
        results = Results(tuple(_result(outcome) for outcome in outcomes))
        return Answer(HTTPStatus.OK, [("content-type", "application/json")], msgspec.json.encode(results))


def _add_changes(app: App, inventory: Inventory) -> None:
    @app.put(DECREASE_PATH)
    @require(CHANGE_INVENTORY)
    async def decrease() -> Response:
        return await move(-1)

    @app.put(INCREASE_PATH)
    @require(CHANGE_INVENTORY)
    async def increase() -> Response:
        return await move(1)

    async def move(sign: int) -> Response:
        movement = await read_json(Movement)
        lines = tuple(Line(item.category, item.code, sign * item.qty) for item in movement.items)
        return _answer(await inventory.move(Operation(movement.operation, lines)))

    @app.put(ITEM_PATH)
    @require(MANAGE_INVENTORY)
    async def stock_up(category: str, code: str) -> Response:
        key = _key(category, code)
        return _answer(await inventory.stock_up(key, await read_json(Goods)))


def _add_reads(app: App, inventory: Inventory) -> None:
    @app.get(INVENTORY_PATH)
    @require(READ_INVENTORY)
    async def everything() -> Response:
        after, limit = _page()
        return _tagged(await inventory.items(after=after, limit=limit))

    @app.get(CATEGORY_PATH)
    @require(READ_INVENTORY)
    async def category(category: str) -> Response:
        after, limit = _page()
        return _tagged(await inventory.items(category, after=after, limit=limit))

    @app.get(ITEM_PATH)
    @require(READ_INVENTORY)
    async def item(category: str, code: str) -> Response:
        return _tagged(await inventory.item(_key(category, code)))

    @app.get(BALANCE_PATH)
    @require(READ_INVENTORY)
    async def balance() -> Response:
        after, limit = _page()
        return json_response(await inventory.balance(after=after, limit=limit))


def _key(category: str, code: str) -> Key:
    if not (is_name(category) and is_name(code)):
        raise NotFound(NO_SUCH_ITEM, "there is no such item, and none can have this name")
    return Key(category, code)


def _page() -> tuple[Key | None, int]:
    """Read `?after=category/code&limit=n`."""
    after, limit = request.args.get("after"), request.args.get("limit", str(DEFAULT_PAGE))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= len(str(MAX_PAGE)) and 1 <= int(limit) <= MAX_PAGE):
        raise InvalidRequest("invalid-limit", f"limit must be 1 to {MAX_PAGE}")
    if after is None:
        return None, int(limit)
    category, _, code = after.partition("/")
    if not (is_name(category) and is_name(code)):
        raise InvalidRequest("invalid-after", "after must be the `next` of a page")
    return Key(category, code), int(limit)


def _answer(outcome: Outcome) -> Response:
    if outcome.refusal is not None:
        raise outcome.refusal
    return json_response(_result(outcome), HTTPStatus.CREATED if outcome.created else HTTPStatus.OK)


def _result(outcome: Outcome) -> Result:
    if outcome.refusal is None:
        return Result(outcome.id, "applied")
    _, _, document = problem.render(outcome.refusal)
    return Result(outcome.id, "refused", msgspec.Raw(document))


def _tagged(value: msgspec.Struct) -> Response:
    content = msgspec.json.encode(value)
    tag = hashlib.sha256(content).hexdigest()[:32]
    return tagged_response(content, tag, "application/json", {"cache-control": "no-cache"})
