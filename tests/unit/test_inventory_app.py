"""The inventory service and its client over real HTTP, on the memory network."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import msgspec
import pytest

from ordermgmt.errors import Conflict, Internal, InvalidRequest, NotFound, Unavailable
from ordermgmt.inventory.app import MAX_BODY
from ordermgmt.inventory.client import InventoryClient
from ordermgmt.inventory.contract import MAX_ACKNOWLEDGED, MAX_AGE, MAX_OPERATIONS, Batch, Line, Operation
from tests.unit.inventory_service import ALL_SCOPES, BOOK, AllScopes, inventory_at, movement, quantity, send
from tests.unit.inventory_setup import START, HandClock


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
        ("GET", "/balance", "read_inventory"),
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
        client = InventoryClient(lambda: nullcontext((http, AllScopes())), HandClock())
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
        balance = await client.balance(limit=2)
        assert msgspec.structs.astuple(balance.items[1]) == ("books", "978-1617295959", 10, -6, 4)
        assert [item.code for item in (await client.balance(after=str(balance.next))).items] == [
            "APMBA132021",
            "SOWH1000XM4",
        ]
        with pytest.raises(InvalidRequest):
            await client.balance(limit=1001)
        with pytest.raises(InvalidRequest):
            await client.items(limit=0)


async def test_the_client_abandons_and_acknowledges(tmp_path: Path) -> None:
    lines = (Line("books", "978-1617295959", -6),)
    async with inventory_at(tmp_path) as http:
        clock = HandClock()
        client = InventoryClient(lambda: nullcontext((http, AllScopes())), clock)
        (abandoned,) = await client.apply_all([Operation("a", lines, abandon=True)])
        assert abandoned.refusal is not None
        assert abandoned.refusal.code == "operation-abandoned"
        (late,) = await client.apply_all([Operation("a", lines)])
        assert (late.refusal and late.refusal.code) == "operation-abandoned"
        assert await client.apply_all([], ["a", "unknown"]) == []
        clock.time -= MAX_AGE + 1
        with pytest.raises(Unavailable, match="stale-batch"):
            await client.apply_all([Operation("b", lines)])
        with pytest.raises(Internal, match="there twice"):
            await client.apply_all([Operation("b", lines)] * 2)
        assert await quantity(http) == 10


async def test_the_largest_batch_fits_and_one_byte_more_than_the_limit_does_not(tmp_path: Path) -> None:
    line = Line("c" * 64, "i" * 64, -1_000_000)
    operations = [Operation(f"{number:064}", (line,) * 16, abandon=True) for number in range(MAX_OPERATIONS)]
    batch = Batch(START + 0.123456, tuple(operations), ("a" * 64,) * MAX_ACKNOWLEDGED)
    body = msgspec.json.encode(batch)
    assert len(body) <= 870_000 < MAX_BODY
    async with inventory_at(tmp_path) as http:
        headers = [("authorization", "Bearer change_inventory"), ("content-type", "application/json")]
        for length, status in ((MAX_BODY, 200), (MAX_BODY + 1, 413)):
            answer = await http.request("POST", "/inventory/operations", headers=headers, content=body.ljust(length))
            assert answer.status == status
