"""A service that is to stop says so before it does: balancers see it, and nobody is refused meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

import trio
from msgspec.structs import replace

from ordermgmt.config import Config
from ordermgmt.testing.harness import running_system

DELAY = 5.0
ORDER = {"id": "100500", "name": "Sample", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}


async def test_requests_are_served_while_the_gateway_says_that_it_goes(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    config = replace(Config(), suite=replace(Config().suite, drain_delay=DELAY))
    async with running_system(tmp_path, config=config) as system:
        token = await system.token("counter-app")
        admin = await system.admin_client()
        assert (await admin.request("GET", "/readyz/gateway")).status == 200
        start = trio.current_time()
        system.stop.set()
        await trio.sleep(DELAY - 1)
        state = await admin.request("GET", "/readyz/gateway")
        assert state.status == 503
        assert json.loads(state.content)["state"] == "draining"
        created = await system.request("gateway", "POST", "/order", token=token, json=ORDER)
        assert created.status == 201
        assert created.headers["connection"] == "close"
        assert (await admin.request("GET", "/readyz/order")).status == 200
    # one after the other, each with its delay; a drain within the normal time
    assert 4 * DELAY <= trio.current_time() - start < 4 * DELAY + config.suite.drain
