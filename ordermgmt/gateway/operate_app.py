"""HTTP of what the gateway itself tells operators; what the services behind tell them is in the table of routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from typing import Any

import msgspec
from quart import Response

from ordermgmt.errors import Unavailable
from ordermgmt.gateway.contract import ACCOUNTS_PATH, HELD_ROUTE, HISTORY_PATH, STATUS_PATH
from ordermgmt.gateway.operations import Answer, Request
from ordermgmt.gateway.watch import Watch
from ordermgmt.net.app import App, json_response, tagged_response
from ordermgmt.order.contract import Held

__all__ = ["add_operate_routes"]

Forward = Callable[[Request], Awaitable[Answer]]
Decorate = Callable[[Callable[..., Any]], Callable[..., Any]]
Confirm = Callable[[], Awaitable[None]]


def add_operate_routes(
    app: App,
    watch: Watch,
    prefix: str,
    policy: Decorate,
    forward: Forward,
    token: Callable[[], str | None],
    confirm: Confirm,
) -> None:
    """Add the routes behind `prefix`, for those whom `policy` lets in, who ask services through `forward`.

    Where no service is asked, `confirm` raises Unauthenticated if whoever asks is known no more.
    """

    async def status() -> Response:
        await confirm()
        return _tagged(await watch.ask("/status"))

    async def history() -> Response:
        await confirm()
        return _tagged(await watch.ask("/history"))

    async def accounts() -> Response:
        found = await watch.accounts(partial(_held, forward, token()))
        return json_response(found, headers={"cache-control": "no-store"})

    for path, view in ((STATUS_PATH, status), (HISTORY_PATH, history), (ACCOUNTS_PATH, accounts)):
        app.add_url_rule(f"{prefix}{path}", f"operate {prefix}{path}", policy(view), methods=["GET"])


async def _held(forward: Forward, token: str | None) -> Held:
    asked = Request(HELD_ROUTE, "GET", HELD_ROUTE.path, {}, b"", token)
    answer = await forward(asked)
    if answer.status != HTTPStatus.OK:
        raise Unavailable("order-no-answer", f"the order service answered {answer.status}")
    try:
        return msgspec.json.decode(answer.content, type=Held)
    except msgspec.DecodeError as error:
        raise Unavailable("order-rubbish", "the order service did not tell what orders hold") from error


def _tagged(value: msgspec.Struct) -> Response:
    content = msgspec.json.encode(value)
    tag = sha256(content).hexdigest()[:32]
    return tagged_response(content, tag, "application/json", {"cache-control": "no-store"})
