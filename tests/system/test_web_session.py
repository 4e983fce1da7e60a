"""A browser signs in over real sockets, and its session outlives a suite that is killed."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from ordermgmt.clock import SystemClock
from ordermgmt.net.network import Address, TcpNetwork
from ordermgmt.net.outbound import open_client
from ordermgmt.security.tls import PublicTls
from tests.contract.shop_setup import Surfer
from tests.log_lines import select
from tests.system.processes import PATIENCE, SuiteProcess, suite, wait_until

ISSUER = "https://sts.example"
"""A user is one of an issuer, so both suites have the same one, whatever their ports."""
CHANGES = {"ORDERMGMT_STS_PUBLIC_URL": ISSUER}
ORDER = {"id": "web", "name": "By web", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}


@asynccontextmanager
async def surfing(running: SuiteProcess, issuer: str = ISSUER) -> AsyncIterator[Surfer]:
    tls, network = PublicTls(running.folder / "certs" / "ca.pem", clock=SystemClock()), TcpNetwork()
    gateway, sts = (Address("localhost", running.ports[service]) for service in ("gateway", "sts"))
    async with open_client(network, [gateway], tls=tls) as to_gateway, open_client(network, [sts], tls=tls) as to_sts:
        yield Surfer(running.url("gateway"), issuer, running.folder / "var", to_gateway, to_sts)


async def sign_in(running: SuiteProcess) -> dict[str, str]:
    with trio.fail_after(PATIENCE):
        async with surfing(running) as browser:
            assert await browser.sign_in("alice") == "/"
            assert (await browser.ask("POST", "/api/order", ORDER)).status == 201
            return browser.cookies


async def go_on(running: SuiteProcess, cookies: dict[str, str]) -> None:
    with trio.fail_after(PATIENCE):
        async with surfing(running) as browser:
            browser.cookies = dict(cookies)
            listed = await browser.get("/api/order")
            assert [order["id"] for order in json.loads(listed.content)["orders"]] == ["web"]
            assert (await browser.ask("POST", "/session/logout")).status == 200
            browser.cookies = dict(cookies)
            assert (await browser.get("/api/order")).status == 401


def test_a_session_outlives_a_suite_that_is_killed(tmp_path: Path) -> None:
    with suite(tmp_path, changes=CHANGES) as running:
        cookies = trio.run(sign_in, running)
        # A line is written just after its answer, so that an answer does not wait for it.
        wait_until(lambda: len(select(running.log, "answered", method="POST", status=201)) >= 2, "both lines")
        assert running.stop(signal.SIGKILL) == -signal.SIGKILL
        gateway, order = select(running.log, "answered", method="POST", status=201)
        assert {gateway["service"], order["service"]} == {"gateway", "order"}
        assert (gateway["sub"], order["sub"], gateway["request_id"]) == ("alice", "alice", order["request_id"])
    with suite(tmp_path, changes=CHANGES) as running:
        trio.run(go_on, running, cookies)
        assert (tmp_path / "var" / "gateway-key").stat().st_mode & 0o777 == 0o600
        assert cookies["__Host-gateway-session"] not in running.log
        assert running.stop() == 0
