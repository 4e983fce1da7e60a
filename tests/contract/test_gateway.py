"""The gateway: what it takes, what it passes on, and what it does when a service behind it is away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from ordermgmt.net.outbound import HttpClient, Response
from ordermgmt.sts.client import IssuedToken, StsClient
from ordermgmt.suite import Suite
from ordermgmt.testing.harness import RunningSystem, running_system

SAMPLE = {"name": "Sample order", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}
FOUND_OUT = {"/.well-known/openid-configuration", "/oauth2/jwks"}
"""What the gateway asks the token service on its own account, at any time."""
Sent = list[tuple[str, str, list[tuple[str, str]]]]


@pytest.fixture
def exchanged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The audiences of all exchanges that were asked for."""
    asked: list[str] = []
    exchange = StsClient.exchange

    async def counted(self: StsClient, subject_token: str, audience: str) -> IssuedToken:
        asked.append(audience)
        await trio.sleep(0.5)
        return await exchange(self, subject_token, audience)

    monkeypatch.setattr(StsClient, "exchange", counted)
    return asked


def record_requests(monkeypatch: pytest.MonkeyPatch) -> Sent:
    sent: Sent = []
    request: Callable[..., Awaitable[Response]] = HttpClient.request

    async def recorded(self: HttpClient, method: str, target: str, **options: Any) -> Response:
        options["headers"] = list(options.get("headers", ()))
        sent.append((method, target, options["headers"]))
        return await request(self, method, target, **options)

    monkeypatch.setattr(HttpClient, "request", recorded)
    return sent


async def code_of(answer: Response) -> str:
    return str(msgspec.json.decode(answer.content)["type"]).rpartition(":")[2]


@pytest.mark.parametrize("token", ["garbage", "oma_short", "oma_" + "x" * 43, "a.b.c"])
async def test_what_is_no_token_of_ours_is_401(
    token: str, tmp_path: Path, exchanged: list[str], autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path) as system:
        answer = await system.request("gateway", "GET", "/order", token=token)
        assert answer.status == 401
        assert answer.content == b""
        assert answer.headers["www-authenticate"] == 'Bearer realm="gateway", error="invalid_token"'
        assert len(exchanged) == (len(token) == 47)  # what does not even look like one is not asked about
        assert (await system.request("gateway", "GET", "/order", token=await system.token("alice-app"))).status == 200


async def test_a_jwt_is_401_at_the_gateway_even_a_good_one(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path) as system:
        jwt = await system.order_token("admin-app")
        assert (await system.request("order", "GET", "/order", token=jwt)).status == 200
        assert (await system.request("gateway", "GET", "/order", token=jwt)).status == 401


async def test_only_listed_headers_reach_the_services_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path) as system:
        token = await system.token("alice-app")
        forged = [(name, "admin") for name in ("cookie", "forwarded", "x-forwarded-for", "x-user", "x-client-cert")]
        sent = record_requests(monkeypatch)
        answer = await system.request("gateway", "POST", "/order", token=token, json=SAMPLE, headers=forged)
        assert answer.status == 201
        behind = [headers for method, target, headers in sent[1:] if (method, target) == ("POST", "/order")]
        assert len(behind) == 1
        assert {name for name, _ in behind[0]} == {"content-type", "authorization", "accept"}
        assert not any(token in value for _, _, headers in sent[1:] for _, value in headers)


@pytest.mark.parametrize("many", [50, pytest.param(500, marks=pytest.mark.slow)])
async def test_a_burst_with_one_token_makes_one_exchange(
    many: int, tmp_path: Path, exchanged: list[str], autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path) as system:
        token = await system.token("alice-app")
        statuses: list[int] = []

        async def ask() -> None:
            statuses.append((await system.request("gateway", "GET", "/order", token=token)).status)

        async with trio.open_nursery() as nursery:
            with trio.move_on_after(0.1):  # the first to ask is gone before the exchange is done
                await system.request("gateway", "GET", "/order", token=token)
            for _ in range(many):
                nursery.start_soon(ask)
        assert statuses == [200] * many
        assert exchanged == ["order"]
        await trio.sleep(61)
        await ask()
        assert exchanged == ["order", "order"]


@pytest.mark.parametrize(
    "target",
    [
        "/order/../inventory",
        "/order/%2e%2e/inventory",
        "/order/..%2finventory",
        "/order/x%2f..%2f..%2finventory",
        "/order/a%00b",
        "/order/a%0d%0aX:%20y",
        "/order/a%3fb",
        "/inventory/operations/../../order",
        "/healthz",
        "/oauth2/token",
    ],
)
async def test_no_path_leads_out_of_the_route_table(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path) as system:
        sent = record_requests(monkeypatch)
        stream = await system.open_stream("gateway")
        await stream.send_all(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 404 ")
        assert [target for _, target, _ in sent if target not in FOUND_OUT] == []


async def without(
    tmp_path: Path, missing: str, ask: Callable[[RunningSystem, str], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run `ask` with a token, after the address of a service has become one where nobody listens."""
    nowhere = {"sts": "sts_mtls", "order": "order", "inventory": "inventory"}[missing]

    def prepare(suite: Suite) -> None:
        changed = msgspec.structs.replace(suite.config.suite, **{nowhere: ("127.0.0.1:1",)})
        monkeypatch.setattr(suite, "config", msgspec.structs.replace(suite.config, suite=changed))

    async with running_system(tmp_path, prepare=prepare) as system:
        await ask(system, await system.token("alice-app"))


async def test_without_the_sts_reads_go_on_and_the_rest_is_503(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    async def ask(system: RunningSystem, token: str) -> None:
        answer = await system.request("gateway", "POST", "/order", token=token, json=SAMPLE)
        assert (answer.status, await code_of(answer)) == (503, "sts-unreachable")
        assert (await system.request("gateway", "GET", "/order/none")).status == 404

    await without(tmp_path, "sts", ask, monkeypatch)


@pytest.mark.parametrize(("missing", "target"), [("order", "/order/none"), ("inventory", "/inventory")])
async def test_without_a_service_its_routes_are_503(
    missing: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    async def ask(system: RunningSystem, _: str) -> None:
        answer = await system.request("gateway", "GET", target)
        assert (answer.status, await code_of(answer)) == (503, f"{missing}-unreachable")
        assert "retry-after" in answer.headers

    await without(tmp_path, missing, ask, monkeypatch)


async def test_without_the_inventory_an_order_is_refused_and_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    async def ask(system: RunningSystem, token: str) -> None:
        answer = await system.request("gateway", "POST", "/order", token=token, json={"id": "x", **SAMPLE})
        assert (answer.status, await code_of(answer)) == (503, "inventory-unreachable")
        assert (await system.request("gateway", "GET", "/order/x")).status == 404

    await without(tmp_path, "inventory", ask, monkeypatch)


async def test_no_answer_is_to_be_taken_for_something_else(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path) as system:
        token = await system.token("counter-app")
        for method, path, status in (
            ("GET", "/order/none", 404),
            ("GET", "/inventory?limit=1", 200),
            ("GET", "/inventory", 200),
            ("GET", "/order", 401),
            ("DELETE", "/order/none", 401),
            ("PATCH", "/order", 405),
            ("GET", "/", 200),
            ("GET", "/session", 200),
            ("GET", "/none", 404),
        ):
            answer = await system.request("gateway", method, path)
            assert (answer.status, answer.headers.get("x-content-type-options")) == (status, "nosniff"), path
        listed = await system.request("gateway", "GET", "/order", token=token)
        assert (listed.status, listed.headers["x-content-type-options"]) == (200, "nosniff")
