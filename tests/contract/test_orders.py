"""The answers of the order service."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from ordermgmt.net.outbound import Response
from ordermgmt.testing.harness import RunningSystem, running_system

BOOK = {"category": "books", "code": "978-1617295959", "qty": 1}
HEADPHONES = {"category": "electronics", "code": "SOWH1000XM4", "qty": 2}
ORDER = {"id": "1", "name": "One", "items": [BOOK, HEADPHONES]}
JSON = ("content-type", "application/json")


class Client:
    """A client of the order service, with the tokens of all demo clients."""

    def __init__(self, system: RunningSystem, tokens: dict[str, str]) -> None:
        self.system = system
        self.tokens = tokens

    async def call(self, method: str, target: str, who: str | None = None, **options: Any) -> Response:
        token = self.tokens[who] if who is not None else None
        return await self.system.request("order", method, target, token=token, **options)

    async def stock(self, item: dict[str, Any]) -> int:
        answer = await self.system.request("gateway", "GET", f"/inventory/{item['category']}/{item['code']}")
        return int(json.loads(answer.content)["qty"])


@asynccontextmanager
async def ordering(folder: Path) -> AsyncIterator[Client]:
    async with running_system(folder) as system:
        yield Client(system, {who: await system.order_token(f"{who}-app") for who in ("admin", "alice", "bob")})


def problem(answer: Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    document = json.loads(answer.content)
    assert document["status"] == answer.status
    return answer.status, document["type"].rpartition(":")[2]


BAD_BODIES = {
    "unknown member": ORDER | {"price": 1},
    "unknown member of an item": ORDER | {"items": [BOOK | {"price": 1}]},
    "no items": ORDER | {"items": []},
    "too many items": ORDER | {"items": [BOOK | {"code": f"c{n}"} for n in range(101)]},
    "no name": {"items": [BOOK]},
    "empty name": ORDER | {"name": ""},
    "long name": ORDER | {"name": "x" * 201},
    "line break in the name": ORDER | {"name": "a\nb"},
    "line break at the end of the name": ORDER | {"name": "a\n"},
    "NUL in the name": ORDER | {"name": "a\x00b"},
    "C1 control in the name": ORDER | {"name": "a\x85b"},
    "escape in the name": ORDER | {"name": "\x1b[31mred"},
    "slash in the id": ORDER | {"id": "a/b"},
    "empty id": ORDER | {"id": ""},
    "long id": ORDER | {"id": "x" * 65},
    "line break at the end of the id": ORDER | {"id": "1\n"},
    "number as id": ORDER | {"id": 1},
    "path in the code": ORDER | {"items": [BOOK | {"code": "../x"}]},
    **{
        f"qty {qty!r}": ORDER | {"items": [BOOK | {"qty": qty}]}
        for qty in (True, 0, -1, 1_000_001, 1.5, 1.0, "1", None)
    },
}


async def test_bodies_are_strict(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with ordering(tmp_path) as client:
        before = await client.stock(BOOK)
        for name, body in BAD_BODIES.items():
            answer = await client.call("POST", "/order", "alice", json=body)
            assert (name, *problem(answer)) == (name, 400, "invalid-body")
        for raw in (b"", b"{", b"[]", b"\xff", b'{"name": "One", "items": [', b"null"):
            client_ = await client.system.client("order")
            headers = [JSON, ("authorization", f"Bearer {client.tokens['alice']}")]
            assert problem(await client_.request("POST", "/order", headers=headers, content=raw))[0] == 400
        assert await client.stock(BOOK) == before
        assert (await client.call("GET", "/order/1")).status == 404


async def test_limits_themselves_are_accepted(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with ordering(tmp_path) as client:
        body = ORDER | {"id": "x" * 64, "name": "ü" * 200, "items": [BOOK]}
        assert (await client.call("POST", "/order", "alice", json=body)).status == 201
        answer = await client.call("POST", "/order", "alice", json=ORDER | {"items": [BOOK | {"qty": 1_000_000}]})
        assert problem(answer) == (409, "out-of-stock")
        many = [BOOK | {"code": f"c{n}"} for n in range(100)]
        assert problem(await client.call("POST", "/order", "alice", json=ORDER | {"items": many}))[0] == 422


async def test_wrong_types_sizes_and_methods(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with ordering(tmp_path) as client:
        http = await client.system.client("order")
        token = ("authorization", f"Bearer {client.tokens['admin']}")
        for headers in ([token], [token, ("content-type", "text/plain")]):
            answer = await http.request("POST", "/order", headers=headers, content=json.dumps(ORDER).encode())
            assert problem(answer)[0] == 415
        big = b" " * (256 * 1024) + json.dumps(ORDER).encode()
        assert problem(await http.request("POST", "/order", headers=[token, JSON], content=big))[0] == 413
        assert problem(await http.request("PUT", "/order/1", headers=[token, JSON], content=big))[0] == 413
        for method, target in (("OPTIONS", "/order"), ("OPTIONS", "/order/1"), ("PATCH", "/order/1")):
            answer = await http.request(method, target, headers=[token])
            assert problem(answer)[0] == 405
            assert "GET" in answer.headers["allow"]


async def test_what_is_not_there_is_404(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with ordering(tmp_path) as client:
        update = {"name": "Two", "items": [BOOK]}
        for order_id in ("1", "a.b", "x" * 65):
            assert problem(await client.call("GET", f"/order/{order_id}"))[0] == 404
            assert problem(await client.call("PUT", f"/order/{order_id}", "admin", json=update))[0] == 404
            assert problem(await client.call("DELETE", f"/order/{order_id}", "admin"))[0] == 404
            assert problem(await client.call("GET", f"/order/{order_id}/history", "admin"))[0] == 404
        assert problem(await client.call("GET", "/orders"))[0] == 404


async def test_an_id_is_taken_once(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with ordering(tmp_path) as client:
        assert (await client.call("POST", "/order", "alice", json=ORDER)).status == 201
        before = await client.stock(BOOK)
        assert problem(await client.call("POST", "/order", "bob", json=ORDER)) == (409, "order-exists")
        assert await client.stock(BOOK) == before


async def test_a_create_without_an_id_gets_one(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with ordering(tmp_path) as client:
        body = {"name": "One", "items": [BOOK]}
        places = {(await client.call("POST", "/order", "alice", json=body)).headers["location"] for _ in range(3)}
        assert len(places) == 3
        for place in places:
            base, _, order_id = place.rpartition("/")
            assert base == "https://localhost:9090/order"
            assert len(order_id) >= 16  # not to be guessed
            found = json.loads((await client.call("GET", f"/order/{order_id}")).content)
            assert found == {"id": order_id} | body


async def test_an_order_that_the_stock_cannot_fill_changes_nothing(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with ordering(tmp_path) as client:
        short = [HEADPHONES, BOOK | {"qty": 11}]
        answer = await client.call("POST", "/order", "alice", json=ORDER | {"items": short})
        assert problem(answer) == (409, "out-of-stock")
        assert b"978-1617295959" in answer.content
        assert b"SOWH1000XM4" not in answer.content
        assert (await client.call("GET", "/order/1")).status == 404
        assert (await client.call("POST", "/order", "alice", json=ORDER)).status == 201
        answer = await client.call("PUT", "/order/1", "admin", json={"name": "Two", "items": short})
        assert problem(answer) == (409, "out-of-stock")
        assert json.loads((await client.call("GET", "/order/1")).content) == ORDER
        assert (await client.stock(BOOK), await client.stock(HEADPHONES)) == (9, 73)


@pytest.mark.parametrize(
    ("items", "code"),
    [
        ([BOOK, {"category": "books", "code": "nothing", "qty": 1}], "unknown-item"),
        ([BOOK, HEADPHONES, BOOK], "repeated-item"),
    ],
)
async def test_an_order_that_makes_no_sense_is_422(
    items: list[dict[str, Any]], code: str, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with ordering(tmp_path) as client:
        answer = await client.call("POST", "/order", "alice", json=ORDER | {"items": items})
        assert problem(answer) == (422, code)
        assert (await client.stock(BOOK), await client.stock(HEADPHONES)) == (10, 75)
        assert (await client.call("POST", "/order", "alice", json=ORDER)).status == 201
        answer = await client.call("PUT", "/order/1", "admin", json={"name": "Two", "items": items})
        assert problem(answer) == (422, code)


async def test_changes_take_if_match(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with ordering(tmp_path) as client:
        first = (await client.call("POST", "/order", "alice", json=ORDER)).headers["etag"]
        update = {"name": "Two", "items": [BOOK]}
        stale = [("if-match", '"0"')]
        assert problem(await client.call("PUT", "/order/1", "admin", json=update, headers=stale))[0] == 412
        changed = await client.call("PUT", "/order/1", "admin", json=update, headers=[("if-match", first)])
        assert changed.status == 200
        assert changed.headers["etag"] != first
        assert problem(await client.call("DELETE", "/order/1", "admin", headers=[("if-match", first)]))[0] == 412
        second = [("if-match", f"{first}, {changed.headers['etag']}")]
        assert (await client.call("DELETE", "/order/1", "admin", headers=second)).status == 200
        assert (await client.stock(BOOK), await client.stock(HEADPHONES)) == (10, 75)


async def test_a_reader_who_knows_the_version_gets_304(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with ordering(tmp_path) as client:
        tag = (await client.call("POST", "/order", "alice", json=ORDER)).headers["etag"]
        for known in (tag, f"W/{tag}", f'"0", {tag}', "*"):
            answer = await client.call("GET", "/order/1", headers=[("if-none-match", known)])
            assert (answer.status, answer.content, answer.headers["etag"]) == (304, b"", tag)
            assert not {"content-length", "content-type", "transfer-encoding"} & set(answer.headers)
        answer = await client.call("GET", "/order/1", headers=[("if-none-match", '"0"')])
        assert (answer.status, answer.headers["etag"]) == (200, tag)


async def test_head_is_get_without_the_body(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with ordering(tmp_path) as client:
        await client.call("POST", "/order", "alice", json=ORDER)
        for target, who in (("/order/1", None), ("/order", "alice"), ("/order/1/history", "alice"), ("/order", None)):
            got, head = [await client.call(method, target, who) for method in ("GET", "HEAD")]
            assert (head.status, head.content) == (got.status, b"")
            assert {**head.headers, "date": ""} == {**got.headers, "date": ""}
