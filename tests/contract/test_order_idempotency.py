"""Idempotency-Key, 503 and 504 as a client sees them, directly and through the gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from ordermgmt.errors import Internal, OutcomeUnknown, Unavailable
from ordermgmt.inventory.client import InventoryClient
from ordermgmt.inventory.contract import Outcome
from ordermgmt.net.outbound import Response
from ordermgmt.testing.harness import RunningSystem, running_system

BOOK = {"category": "books", "code": "978-1617295959", "qty": 1}
ORDER = {"name": "One", "items": [BOOK]}
KEY = [("idempotency-key", '"8e03978e"')]


class Client:
    """A client of one service, with a token of admin for it."""

    def __init__(self, system: RunningSystem, service: str, token: str) -> None:
        self.system, self.service, self.token = system, service, token

    async def call(self, method: str, target: str, **options: Any) -> Response:
        return await self.system.request(self.service, method, target, token=self.token, **options)


@asynccontextmanager
async def client(folder: Path, service: str) -> AsyncIterator[Client]:
    async with running_system(folder) as system:
        token = await (system.token if service == "gateway" else system.order_token)("admin-app")
        yield Client(system, service, token)


def told(answer: Response) -> tuple[int, str | None]:
    return answer.status, answer.headers.get("retry-after")


def same(one: Response, other: Response) -> bool:
    def shown(answer: Response) -> tuple[object, ...]:
        return answer.status, answer.content, answer.headers.get("location"), answer.headers.get("etag")

    return shown(one) == shown(other)


def code(answer: Response) -> str:
    return str(json.loads(answer.content)["type"]).rpartition(":")[2]


@pytest.mark.parametrize("service", ["order", "gateway"])
async def test_the_same_request_again(service: str, tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with client(tmp_path, service) as one:
        first = await one.call("POST", "/order", json=ORDER, headers=KEY)
        bare = [("idempotency-key", "8e03978e")]
        assert first.status == 201
        assert same(first, await one.call("POST", "/order", json=ORDER, headers=bare))
        other = await one.call("POST", "/order", json=ORDER | {"name": "Two"}, headers=KEY)
        assert (other.status, code(other)) == (422, "idempotency-key-reused")
        bad = await one.call("POST", "/order", json=ORDER, headers=KEY + KEY)
        assert (bad.status, code(bad)) == (400, "invalid-idempotency-key")
        target = "/order" + first.headers["location"].rpartition("/order")[2]
        tag = [("if-match", first.headers["etag"])]
        updated = await one.call("PUT", target, json=ORDER | {"items": [BOOK | {"qty": 3}]}, headers=KEY + tag)
        assert updated.status == 200
        assert same(
            updated, await one.call("PUT", target, json=ORDER | {"items": [BOOK | {"qty": 3}]}, headers=KEY + tag)
        )
        removed = await one.call("DELETE", target, headers=KEY)
        assert same(removed, await one.call("DELETE", target, headers=KEY))
        assert (removed.status, (await one.call("DELETE", target)).status) == (200, 404)


@pytest.mark.parametrize("service", ["order", "gateway"])
@pytest.mark.parametrize(("failure", "status"), [(Unavailable("x", retry_after=3), 503), (OutcomeUnknown("x"), 504)])
async def test_503_and_504_keep_their_meaning(
    service: str,
    failure: Exception,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.abc.Clock,
) -> None:
    async def fail(*_: object, **__: object) -> list[Outcome]:
        await trio.lowlevel.checkpoint()
        raise failure

    async with client(tmp_path, service) as one:
        with monkeypatch.context() as patch:
            patch.setattr(InventoryClient, "apply_all", fail)
            answer = await one.call("POST", "/order", json=ORDER | {"id": "1"}, headers=KEY)
        assert told(answer) == (status, "3" if status == 503 else "1")
        if status == 504:
            assert code(answer) == "outcome-unknown"
            assert (await one.call("POST", "/order", json=ORDER | {"id": "1"})).status == 409
        again = await one.call("POST", "/order", json=ORDER | {"id": "1"}, headers=KEY)
        assert again.status in ((201,) if status == 503 else (201, 504))  # it may be between two attempts
        await trio.sleep(20)
        assert (await one.call("POST", "/order", json=ORDER | {"id": "1"}, headers=KEY)).status == 201


@pytest.mark.parametrize("service", ["order", "gateway"])
async def test_operators_see_what_is_stuck_and_have_it_tried_again(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    async def fail(*_: object, **__: object) -> list[Outcome]:
        await trio.lowlevel.checkpoint()
        raise Internal("inventory-request", "it is of another version")

    async with client(tmp_path, service) as one:
        with monkeypatch.context() as patch:
            patch.setattr(InventoryClient, "apply_all", fail)
            assert (await one.call("POST", "/order", json=ORDER | {"id": "1"})).status == 504
        (shown,) = json.loads((await one.call("GET", "/journal")).content)["operations"]
        assert {name: shown[name] for name in ("kind", "order", "state", "subject", "attempt", "reason")} == {
            "kind": "create",
            "order": "1",
            "state": "stuck",
            "subject": "client:admin-app",
            "attempt": 1,
            "reason": "inventory-request: it is of another version",
        }
        assert (await one.call("POST", f"/journal/{shown['id']}/retry")).status == 202
        await trio.sleep(1.01)
        assert (await one.call("GET", "/order/1")).status == 200
        assert code(await one.call("POST", f"/journal/{shown['id']}/retry")) == "operation-finished"
        assert code(await one.call("POST", "/journal/nothing/retry")) == "no-such-operation"
        assert json.loads((await one.call("GET", "/journal")).content) == {"operations": []}
        one.token = await (one.system.token if service == "gateway" else one.system.order_token)("alice-app")
        assert (await one.call("GET", "/journal")).status == 403
        assert (await one.call("POST", f"/journal/{shown['id']}/retry")).status == 403
