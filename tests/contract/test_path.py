"""What just happened: the path of a request, for whoever sent it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from ordermgmt.errors import Unavailable
from ordermgmt.gateway.provider import ConnectedProvider
from ordermgmt.net.outbound import HttpClient, Response, Unreachable
from ordermgmt.order.operations import Orders
from tests.contract.shop_setup import Surfer, open_shop, surfer

ORDER = {"id": "o1", "name": "One", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}


async def path_of(browser: Surfer, request_id: str) -> dict[str, Any]:
    answer = await browser.get(f"/api/path/{request_id}")
    assert answer.status == 200, answer.content
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = json.loads(answer.content)
    return found


async def test_the_path_of_a_create(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        created = await browser.ask("POST", "/api/order", ORDER)
        assert created.status == 201
        path = await path_of(browser, created.headers["x-request-id"])
        issuer = system.suite.endpoints.issuer
    assert {name: path["request"][name] for name in ("id", "method", "path", "status")} == {
        "id": created.headers["x-request-id"],
        "method": "POST",
        "path": "/order",
        "status": 201,
    }
    ways = [(hop["from"], hop["to"]) for hop in path["hops"]]
    assert ways == [
        ("browser", "gateway"),
        ("gateway", "sts"),
        ("gateway", "order"),
        ("order", "order"),
        ("order", "inventory"),
        ("order", "order"),
    ]
    session, exchange, order, _, goods, _ = path["hops"]
    assert session["token"]["kind"] == "session"
    assert session["token"]["claims"]["preferred_username"] == "alice"
    assert {check["name"] for check in session["token"]["checks"]} >= {"cookie", "x-csrf"}
    assert exchange["token"]["kind"] == "opaque"
    assert exchange["cached"] is False
    assert exchange["identities"] == {
        "client": "spiffe://ordermgmt.local/gateway",
        "server": "spiffe://ordermgmt.local/sts",
    }
    jwt = order["token"]
    assert (jwt["kind"], jwt["issuer"], jwt["audience"]) == ("jwt", issuer, ["order"])
    assert jwt["header"]["typ"] == "at+jwt"
    assert jwt["claims"]["act"]["sub"] == "client:gateway"
    assert {check["name"]: check["said"] for check in jwt["checks"]}["audience"] == "holds order"
    assert goods["identities"] == {
        "client": "spiffe://ordermgmt.local/order",
        "server": "spiffe://ordermgmt.local/inventory",
    }
    assert all(hop["seconds"] is not None for hop in path["hops"])


async def test_no_token_is_in_it(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """Neither an opaque one, nor the three parts of a JWT, nor the cookie."""
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        created = await browser.ask("POST", "/api/order", ORDER)
        answer = await browser.get(f"/api/path/{created.headers['x-request-id']}")
        for secret in (b"oma_", b"omr_", b"eyJ", *(value.encode() for value in browser.cookies.values())):
            assert secret not in answer.content


async def test_a_second_request_uses_the_exchanged_token_again(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        first, second = await browser.get("/api/order"), await browser.get("/api/order")
        cached = []
        for answer in (first, second):
            path = await path_of(browser, answer.headers["x-request-id"])
            cached += [hop["cached"] for hop in path["hops"] if hop["to"] == "sts"]
        assert cached == [False, True]


async def test_a_refusal_is_shown_too(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        refused = await browser.ask("DELETE", "/api/order/o1")
        assert refused.status == 403
        path = await path_of(browser, refused.headers["x-request-id"])
        assert path["request"]["status"] == 403
        checks = {check["name"]: check["said"] for check in path["hops"][2]["token"]["checks"]}
        assert checks["scope"] == "not enough for this"


async def test_an_error_of_a_service_proves_nothing_of_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise Unavailable("storage-unavailable", retry_after=1)

    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        monkeypatch.setattr(Orders, "newest", fail)
        failed = await browser.get("/api/order")
        path = await path_of(browser, failed.headers["x-request-id"])
    assert path["request"]["status"] == 503
    checks = {check["name"]: check["said"] for check in path["hops"][-1]["token"]["checks"]}
    assert set(checks) == {"form", "token"}
    assert checks["token"] == "not known: order did not answer this"


async def test_where_a_request_ended_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    send = HttpClient.request

    async def request(self: HttpClient, method: str, target: str, **options: Any) -> Response:
        if target == "/order":
            raise Unreachable("nobody listens")
        return await send(self, method, target, **options)

    async def exchange(*_: object) -> None:
        raise Unavailable("provider-unreachable", retry_after=1)

    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        with monkeypatch.context() as broken:
            broken.setattr(ConnectedProvider, "exchange", exchange)
            failed = await browser.get("/api/order")
        path = await path_of(browser, failed.headers["x-request-id"])
        assert (path["request"]["status"], path["hops"][-1]["to"]) == (503, "sts")
        assert path["hops"][-1]["token"]["checks"][0]["said"] == "not known: nothing came of it"
        with monkeypatch.context() as broken:
            broken.setattr(HttpClient, "request", request)
            failed = await browser.get("/api/order")
        path = await path_of(browser, failed.headers["x-request-id"])
        assert (path["request"]["status"], path["hops"][-1]["to"]) == (503, "order")
        assert "No answer" in path["hops"][-1]["what"]
        assert path["hops"][-1]["token"] is None


async def test_goods_are_looked_up_with_the_gateways_own_token(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        answer = await browser.get("/api/inventory/books")
        path = await path_of(browser, answer.headers["x-request-id"])
        hop = path["hops"][-1]
        assert hop["identities"]["client"] == "spiffe://ordermgmt.local/gateway"
        assert "cnf" in hop["token"]["claims"]
        assert "binding" in {check["name"] for check in hop["token"]["checks"]}


async def test_a_path_is_for_its_own_session(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        alice, bob, nobody = [await surfer(system) for _ in range(3)]
        await alice.sign_in("alice")
        await bob.sign_in("bob")
        listed = await alice.get("/api/order")
        where = f"/api/path/{listed.headers['x-request-id']}"
        assert [(await browser.get(where)).status for browser in (alice, bob, nobody)] == [200, 404, 401]
        for _ in range(20):
            await alice.get("/api/order")
        assert (await alice.get(where)).status == 404


async def test_what_did_not_change_is_not_kept(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        tag = (await browser.get("/api/inventory")).headers["etag"]
        same = await browser.get("/api/inventory", [("if-none-match", tag)])
        assert same.status == 304
        assert (await browser.get(f"/api/path/{same.headers['x-request-id']}")).status == 404
