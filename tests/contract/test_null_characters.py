"""U+0000, which PostgreSQL cannot keep and SQLite cuts texts at: refused wherever it comes in, on each engine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from ordermgmt.config import Config, SuiteConfig
from ordermgmt.testing.harness import RunningSystem, running_system

ITEM = {"category": "books", "code": "978-1617295959", "qty": 1}
BODIES: list[dict[str, Any]] = [
    {"name": "a\0b", "items": [ITEM]},
    {"name": "\0", "items": [ITEM]},
    {"name": "a", "id": "a\0b", "items": [ITEM]},
    {"name": "a", "id": "\0", "items": [ITEM]},
    {"name": "a", "items": [{**ITEM, "category": "books\0"}]},
    {"name": "a", "items": [{**ITEM, "code": "\0978"}]},
    {"name": "a", "items": [{**ITEM, "\0": 1}]},
]
TARGETS = ["/order/%00", "/order/a%00b", "/order/a%00/history", "/order?cursor=%00", "/order?limit=1%00", "/%00"]
STOCK = ["/inventory/%00", "/inventory/books/%00", "/inventory?after=books/%00", "/inventory?limit=%00"]
GRANTS = [
    {"grant_type": "\0"},
    {"grant_type": "client_credentials", "scope": "add_order\0"},
    {"grant_type": "client_credentials", "resource": "a\0b"},
    {"grant_type": "password", "username": "a\0b", "password": "\0"},
    {"grant_type": "client_credentials", "client_id": "a\0b", "client_secret": "\0"},
    {"grant_type": "refresh_token", "refresh_token": "\0"},
]


@asynccontextmanager
async def suite(folder: Path, request: pytest.FixtureRequest, engine: str) -> AsyncIterator[RunningSystem]:
    database = request.getfixturevalue("postgres_dsn") if engine == "postgres" else ""
    async with running_system(folder, config=Config(suite=SuiteConfig(database=database))) as system:
        yield system


async def raw(system: RunningSystem, head: bytes) -> int:
    """Send bytes as they are, and return the status."""
    async with await system.open_stream("order") as stream:
        await stream.send_all(head)
        answer = await stream.receive_some()
    return int(answer.split(b" ")[1])


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_it_is_refused_everywhere(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest, autojump_clock: trio.abc.Clock
) -> None:
    async with suite(tmp_path, request, engine) as system:
        tokens = {"order": await system.order_token("admin-app"), "gateway": await system.token("admin-app")}
        good = {"id": "good", "name": "One", "items": [ITEM]}
        assert (await system.request("order", "POST", "/order", token=tokens["order"], json=good)).status == 201
        for service, token in tokens.items():
            for body in BODIES:
                answer = await system.request(service, "POST", "/order", token=token, json=body)
                assert answer.status in {400, 422}, (body, answer)
                update = {"name": body["name"], "items": body["items"]}
                answer = await system.request(service, "PUT", "/order/good", token=token, json=update)
                assert answer.status in {400, 422} or "id" in body, (body, answer)
            for target in TARGETS:
                answer = await system.request(service, "GET", target, token=token)
                assert answer.status in {400, 404}, (target, answer)
            assert (await system.request(service, "DELETE", "/order/a%00b", token=token)).status in {400, 404}
        for target in STOCK:
            assert (await system.request("gateway", "GET", target)).status in {400, 404}, target
        for grant in GRANTS:
            answer = await system.token_request(grant)
            assert answer.status in {400, 401}, (grant, answer)
        bearer = tokens["order"].encode()
        for header in (b"Idempotency-Key: a\0b", b'If-Match: "\0"', b"Authorization: Bearer \0", b"X-\0: a"):
            head = b"DELETE /order/good HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % header
            if b"Authorization" not in header:
                head += b"Authorization: Bearer %s\r\n" % bearer
            assert await raw(system, head + b"\r\n") in {400, 401}, header
        answer = await system.request("order", "GET", "/order/good")
        assert json.loads(answer.content)["name"] in {"One", "a"}
        assert {health.restarts for health in system.suite.board.snapshot().values()} == {0}
