"""The inventory service over real HTTP, on the memory network."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from ordermgmt.errors import Unauthenticated
from ordermgmt.inventory.app import MAX_BODY, create_app
from ordermgmt.inventory.operations import Inventory
from ordermgmt.net import Address
from ordermgmt.net.limits import Limits
from ordermgmt.net.outbound import HttpClient, open_client
from ordermgmt.net.server import serve
from ordermgmt.security.guard import Guard
from ordermgmt.security.peer import Peer
from ordermgmt.security.principal import Principal
from ordermgmt.storage.sqlite import SqliteDatabase
from ordermgmt.testing.memory import MemoryNetwork
from tests.unit.inventory_setup import opened

HERE = Address("127.0.0.1", 9091)
BOOK = {"category": "books", "code": "978-1617295959"}
ALL_SCOPES = "read_inventory change_inventory manage_inventory"


class AllScopes:
    async def get(self) -> str:
        return ALL_SCOPES.replace(" ", "+")

    def discard(self, token: str) -> None:
        pytest.fail(f"{token} was refused")


async def scopes_are_the_token(token: str | None, _: Peer | None) -> Principal:
    if token is None:
        raise Unauthenticated("no-token")
    return Principal("issuer", "client:order", frozenset(token.split("+")))


@asynccontextmanager
async def reaching(inventory: Inventory, clients: int = 1) -> AsyncIterator[list[HttpClient]]:
    """Serve the stock and open so many clients, each with connections of its own."""
    app = create_app(inventory, Guard(None, scopes_are_the_token, "inventory"))
    network, drain = MemoryNetwork(), trio.Event()
    binding = await network.bind(HERE)
    async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
        opened_clients = [
            await stack.enter_async_context(open_client(network, [HERE], tls=None, limit=10)) for _ in range(clients)
        ]
        await nursery.start(partial(serve, app, binding.open_listener(), drain=drain, limits=Limits(max_body=MAX_BODY)))
        yield opened_clients
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def serving(tmp_path: Path) -> AsyncIterator[tuple[HttpClient, SqliteDatabase]]:
    async with opened(tmp_path) as (inventory, database), reaching(inventory) as (http,):
        yield http, database


@asynccontextmanager
async def inventory_at(tmp_path: Path) -> AsyncIterator[HttpClient]:
    async with serving(tmp_path) as (http, _):
        yield http


async def send(
    http: HttpClient, method: str, target: str, body: object = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Any, Mapping[str, str]]:
    content = b"" if body is None else json.dumps(body).encode()
    sent = {"authorization": f"Bearer {ALL_SCOPES.replace(' ', '+')}", **(headers or {})}
    if content:
        sent.setdefault("content-type", "application/json")
    answer = await http.request(method, target, headers=sent.items(), content=content)
    return answer.status, json.loads(answer.content) if answer.content else None, answer.headers


def movement(operation: str, qty: int) -> dict[str, Any]:
    return {"operation": operation, "items": [{**BOOK, "qty": qty}]}


async def quantity(http: HttpClient) -> object:
    _, item, _ = await send(http, "GET", "/inventory/books/978-1617295959")
    return item["qty"]
