"""Each request has one line in the log of each service that it comes to, which says whose it is and hides its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from ordermgmt.gateway.contract import API_PREFIX
from ordermgmt.net import short_cut
from ordermgmt.testing import faults
from ordermgmt.testing.harness import RunningSystem, running_system
from ordermgmt.testing.memory import MemoryNetwork
from tests.contract.shop_setup import open_shop, surfer
from tests.log_lines import lines_of, select

ORDER = {"id": "a-secret-of-mine", "name": "One", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}
PRINCIPAL = ("iss", "sub", "act", "jti", "caller")


def who(line: dict[str, Any]) -> tuple[object, ...]:
    return tuple(line.get(name) for name in PRINCIPAL)


async def create(system: RunningSystem, token: str) -> str:
    answer = await system.request("gateway", "POST", "/order", token=token, json=ORDER)
    assert answer.status == 201
    return answer.headers["x-request-id"]


async def test_a_create_can_be_followed_by_its_id(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_system(tmp_path) as system:
        issuer = system.suite.endpoints.issuer
        token = await system.token("counter-app")
        request_id = await create(system, token)
    log = capsys.readouterr().err
    order, gateway = select(log, "answered", route="/order", request_id=request_id)
    assert (order["service"], gateway["service"]) == ("order", "gateway")
    for line in (order, gateway):
        assert (line["method"], line["status"], line["iss"], line["sub"]) == (
            "POST",
            201,
            issuer,
            "client:counter-app",
        )
        assert line["seconds"] >= 0
    assert order["act"] == "client:gateway"
    assert order["jti"] == gateway["jti"]
    (exchange,) = select(log, "answered", service="sts", request_id=request_id)
    assert (exchange["route"], exchange["sub"], exchange["caller"]) == ("/oauth2/token", "client:gateway", "gateway")
    (asked,) = select(log, "answered", service="inventory", route="/inventory/operations")
    assert who(asked) == (issuer, "client:order", None, asked["jti"], "order")
    (first,) = select(log, "answered", service="sts", route="/oauth2/token", sub="client:counter-app")
    assert "caller" not in first


@pytest.mark.parametrize("short", [True, False], ids=["short way", "long way"])
async def test_whoever_hangs_up_is_no_failure_of_ours(
    short: bool,  # noqa: FBT001
    tmp_path: Path,
    autojump_clock: trio.abc.Clock,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(short_cut, "ENABLED", short)
    network = MemoryNetwork()
    async with running_system(tmp_path, network=network) as system:
        token = await system.token("counter-app")
        with faults.stall(network, system.address("inventory"), "answers"):
            with trio.move_on_after(1):
                await create(system, token)
            await trio.sleep(1)
    unanswered = select(capsys.readouterr().err, "unanswered", route="/order")
    assert {line["service"]: (line["level"], line["outcome"]) for line in unanswered} == {
        "gateway": ("info", "cancelled"),
        "order": ("info", "cancelled"),
    }


async def test_what_is_refused_says_why_and_nothing_shows_a_path(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_system(tmp_path) as system:
        token = await system.token("counter-app")
        await create(system, token)
        for service in ("gateway", "order"):
            for method, path in (("GET", "/order/a-secret-of-mine"), ("GET", "/a-secret-of-mine?token=of-mine")):
                await system.request(service, method, path)
            await system.request(service, "DELETE", "/order/a-secret-of-mine")
            await system.request(service, "GET", "/order/a-secret-of-mine/history?x=of-mine")
            await system.request(service, "GET", "/order/a%2Dsecret-of-mine")
        await create_again(system, token)
    log = capsys.readouterr().err
    assert "of-mine" not in log
    assert {line["route"] for line in select(log, "answered", status=404)} == {"unmatched"}
    refused = select(log, "answered", service="gateway", status=401)
    assert {(line["method"], line["route"], line["code"]) for line in refused} == {
        ("DELETE", "/order/<order_id>", "no-token"),
        ("GET", "/order/<order_id>/history", "no-token"),
    }
    (conflict,) = select(log, "answered", service="order", status=409)
    assert (conflict["code"], conflict["sub"]) == ("order-exists", "client:counter-app")


async def create_again(system: RunningSystem, token: str) -> None:
    assert (await system.request("gateway", "POST", "/order", token=token, json=ORDER)).status == 409


async def test_the_request_of_a_browser_is_of_its_user(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_shop(tmp_path) as system:
        alice = await surfer(system)
        await alice.sign_in()
        answer = await alice.get(f"{API_PREFIX}/order")
        assert answer.status == 200
    log = capsys.readouterr().err
    order, gateway = select(log, "answered", request_id=answer.headers["x-request-id"], method="GET")
    assert (gateway["route"], gateway["sub"]) == (f"{API_PREFIX}/order", "alice")
    assert (order["route"], order["sub"], order["act"]) == ("/order", "alice", "client:gateway")
    assert "/session/callback" in {line["route"] for line in lines_of(log) if "route" in line}
    assert "code=" not in log


async def test_only_the_suite_says_which_request_it_is(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    own = "of-a-client-0123456789"
    async with running_system(tmp_path) as system:
        answer = await system.request("gateway", "GET", "/order/1", headers=[("x-request-id", own)])
        assert answer.headers["x-request-id"] != own
        await system.request("order", "GET", "/order/2", headers=[("x-request-id", own)])
    log = capsys.readouterr().err
    assert [line["service"] for line in select(log, "answered", request_id=own)] == ["order"]


async def test_every_service_is_asked_whether_it_is_ready(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path) as system:
        assert set(system.suite._probes.checks) == {"sts", "inventory", "order", "gateway"}
        admin = await system.admin_client()
        assert (await admin.request("GET", "/readyz/gateway")).status == 200
