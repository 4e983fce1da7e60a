"""What the gateway does when the answer of the order service is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from ordermgmt.net.outbound import Response
from ordermgmt.testing.faults import lose
from ordermgmt.testing.harness import running_system
from ordermgmt.testing.memory import MemoryNetwork

ORDER = {"id": "100500", "name": "Sample", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}


@pytest.mark.parametrize(("key", "status"), [("k1", 201), (None, 504)])
async def test_a_request_with_a_key_is_sent_again(
    tmp_path: Path, autojump_clock: trio.abc.Clock, key: str | None, status: int
) -> None:
    network = MemoryNetwork()
    async with running_system(tmp_path, network=network) as system:
        token = await system.token("counter-app")
        headers = [] if key is None else [("idempotency-key", key)]
        answers: list[Response] = []

        async def create() -> None:
            answers.append(await system.request("gateway", "POST", "/order", token=token, json=ORDER, headers=headers))

        assert (
            await system.request("gateway", "GET", "/order", token=token)
        ).status == 200  # there is a connection now
        async with trio.open_nursery() as nursery:
            with lose(network, system.address("order"), "answers"):
                nursery.start_soon(create)
                await trio.sleep(2)
        assert [answer.status for answer in answers] == [status]
        assert (await system.request("gateway", "GET", "/order/100500")).status == 200
