"""The inventory service and its client over real HTTP, on the memory network."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import trio

from ordermgmt.clock import SystemClock
from ordermgmt.errors import Conflict, InvalidRequest, NotFound, Unauthenticated
from ordermgmt.inventory.app import create_app
from ordermgmt.inventory.client import InventoryClient
from ordermgmt.inventory.contract import Line, Operation
from ordermgmt.inventory.operations import Inventory
from ordermgmt.net import Address
from ordermgmt.net.app import App
from ordermgmt.net.outbound import HttpClient, open_client
from ordermgmt.net.server import serve
from ordermgmt.security.guard import Guard
from ordermgmt.security.peer import Peer
from ordermgmt.security.principal import Principal
from ordermgmt.storage import open_database
from ordermgmt.testing.memory import MemoryNetwork
from ordermgmt.threads import InlineThreads

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
async def reaching(app: App) -> AsyncIterator[HttpClient]:
    network, drain = MemoryNetwork(), trio.Event()
    binding = await network.bind(HERE)
    async with trio.open_nursery() as nursery, open_client(network, [HERE], tls=None) as http:
        await nursery.start(partial(serve, app, binding.open_listener(), drain=drain))
        yield http
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def inventory_at(tmp_path: Path) -> AsyncIterator[HttpClient]:
    migrations = files("ordermgmt.inventory") / "migrations"
    async with open_database(
        tmp_path / "inventory.db", migrations, threads=InlineThreads(), clock=SystemClock()
    ) as database:
        app = create_app(Inventory(database), Guard(None, scopes_are_the_token, "inventory"))
        async with reaching(app) as http:
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


async def test_stock_goes_out_and_comes_back(tmp_path: Path) -> None:
    async with inventory_at(tmp_path) as http:
        for _ in range(2):
            status, body, _ = await send(http, "PUT", "/inventory/decrease", movement("a", 4))
            assert (status, body) == (200, {"id": "a", "status": "applied"})
        assert await quantity(http) == 6
        assert (await send(http, "PUT", "/inventory/increase", movement("b", 1)))[0] == 200
        assert await quantity(http) == 7


async def test_a_refusal_is_a_problem_document(tmp_path: Path) -> None:
    async with inventory_at(tmp_path) as http:
        status, body, headers = await send(http, "PUT", "/inventory/decrease", movement("a", 11))
        assert status == 409
        assert headers["content-type"] == "application/problem+json"
        assert body == {
            "type": "urn:ordermgmt:problem:out-of-stock",
            "title": "Conflict",
            "status": 409,
            "detail": "11 of books/978-1617295959 are requested, 10 are available",
            **BOOK,
            "available": 10,
            "requested": 11,
        }
        status, body, _ = await send(http, "PUT", "/inventory/decrease", movement("a", 1))
        assert (status, body["type"]) == (409, "urn:ordermgmt:problem:operation-mismatch")
        unknown = {"operation": "b", "items": [{"category": "books", "code": "none", "qty": 1}]}
        status, body, _ = await send(http, "PUT", "/inventory/increase", unknown)
        assert (status, body["type"]) == (422, "urn:ordermgmt:problem:unknown-item")


async def test_goods_are_added_and_restocked(tmp_path: Path) -> None:
    new = {"operation": "a", "name": "Bear", "price": "9.90", "add": 3}
    async with inventory_at(tmp_path) as http:
        for _ in range(2):
            assert (await send(http, "PUT", "/inventory/toys/bear", new))[0] == 201
        assert (await send(http, "PUT", "/inventory/toys/bear", {"operation": "b", "add": 2}))[0] == 200
        status, body, _ = await send(http, "GET", "/inventory/toys/bear")
        assert (status, body) == (200, {"category": "toys", "code": "bear", "name": "Bear", "price": "9.90", "qty": 5})
        assert (await send(http, "PUT", "/inventory/toys/lion", {"operation": "c", "add": 2}))[0] == 422
        assert (await send(http, "PUT", "/inventory/to%20ys/bear", new))[0] == 404


async def test_reads_have_tags_and_pages(tmp_path: Path) -> None:
    async with inventory_at(tmp_path) as http:
        status, page, headers = await send(http, "GET", "/inventory?limit=3")
        assert (status, len(page["items"]), page["next"]) == (200, 3, "electronics/APMBA132021")
        known = {"if-none-match": headers["etag"]}
        status, body, again = await send(http, "GET", "/inventory?limit=3", headers=known)
        assert (status, body, again["etag"]) == (304, None, headers["etag"])
        assert "content-length" not in again
        await send(http, "PUT", "/inventory/decrease", movement("a", 1))
        assert (await send(http, "GET", "/inventory?limit=3", headers=known))[0] == 200
        _, rest, _ = await send(http, "GET", f"/inventory?limit=3&after={page['next']}")
        assert [item["code"] for item in rest["items"]] == ["SOWH1000XM4"]
        assert "next" not in rest
        assert (await send(http, "GET", "/inventory/decrease"))[0] == 404
        for query in ("limit=0", "limit=1001", "limit=x", "limit=%D9%A1", "after=books", "after=b/%0A"):
            assert (await send(http, "GET", f"/inventory?{query}"))[0] == 400


@pytest.mark.parametrize(
    ("method", "target", "scope"),
    [
        ("GET", "/inventory", "read_inventory"),
        ("HEAD", "/inventory", "read_inventory"),
        ("GET", "/inventory/books", "read_inventory"),
        ("GET", "/inventory/books/978-1617295959", "read_inventory"),
        ("PUT", "/inventory/decrease", "change_inventory"),
        ("PUT", "/inventory/increase", "change_inventory"),
        ("POST", "/inventory/operations", "change_inventory"),
        ("PUT", "/inventory/books/978-1617295959", "manage_inventory"),
    ],
)
async def test_every_route_needs_its_scope(tmp_path: Path, method: str, target: str, scope: str) -> None:
    others = "+".join(sorted(set(ALL_SCOPES.split()) - {scope}))
    async with inventory_at(tmp_path) as http:
        assert (await http.request(method, target)).status == 401
        assert (await http.request(method, target, headers=[("authorization", f"Bearer {others}")])).status == 403
        allowed = await http.request(method, target, headers=[("authorization", f"Bearer {scope}")])
        assert allowed.status in {200, 415}


async def test_the_client_brings_outcomes_and_stock_back(tmp_path: Path) -> None:
    lines = (Line("books", "978-1617295959", -6),)
    async with inventory_at(tmp_path) as http:
        client = InventoryClient(http, AllScopes(), SystemClock())
        applied, refused = await client.apply_all([Operation("a", lines), Operation("b", lines)])
        assert (applied.id, applied.refusal) == ("a", None)
        assert isinstance(refused.refusal, Conflict)
        assert refused.refusal.members == {**BOOK, "available": 4, "requested": 6}
        (again,) = await client.apply_all([Operation("a", lines)])
        assert again.refusal is None
        (other,) = await client.apply_all([Operation("a", (*lines, *lines))])
        assert other.refusal is not None
        assert other.refusal.code == "operation-mismatch"
        assert (await client.item("books", "978-1617295959")).qty == 4
        page = await client.items(limit=3)
        assert [item.code for item in (await client.items(after=str(page.next))).items] == ["SOWH1000XM4"]
        assert len((await client.items("books")).items) == 2
        for category, code in (("books", "none"), ("books", "../x"), ("b?", "x")):
            with pytest.raises(NotFound):
                await client.item(category, code)
        with pytest.raises(NotFound):
            await client.items("toys")
        with pytest.raises(InvalidRequest):
            await client.items(limit=0)
