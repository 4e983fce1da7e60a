"""What the gateway does when the answer of the order service is lost, or late."""

from __future__ import annotations

from functools import partialmethod
from pathlib import Path

import msgspec
import pytest
import trio

from ordermgmt.net.outbound import Response
from ordermgmt.runtime import ServiceContext
from ordermgmt.testing.faults import lose, stall
from ordermgmt.testing.harness import running_system
from ordermgmt.testing.memory import MemoryNetwork

PLACES = 1
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


async def test_who_waits_in_vain_for_a_place_is_told_that_nothing_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    """The order service hangs: those that it has got may have been done, whoever waits for its turn surely was not."""
    open_client = ServiceContext.open_client
    monkeypatch.setattr(ServiceContext, "open_client", partialmethod(open_client, limit=PLACES))
    network = MemoryNetwork()
    answers: list[tuple[float, Response]] = []
    async with running_system(tmp_path, network=network) as system:
        token = await system.token("counter-app")
        assert (await system.request("gateway", "GET", "/order", token=token)).status == 200
        began = trio.current_time()

        async def create(number: int) -> None:
            order = {**ORDER, "id": f"n{number}"}
            stream = await system.open_stream("gateway")
            body = msgspec.json.encode(order)
            head = f"POST /order HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n"
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            await stream.send_all(head.encode() + body)
            answer = b""
            while data := await stream.receive_some():
                answer += data
            answers.append((trio.current_time() - began, Response(int(answer[9:12]), {}, answer)))

        with stall(network, system.address("order"), "requests"):
            async with trio.open_nursery() as nursery:
                for number in range(PLACES + 2):
                    nursery.start_soon(create, number)
        assert [(round(at), answer.status) for at, answer in answers] == [(10, 503)] * 2 + [(20, 504)] * PLACES
        assert b":busy" in answers[0][1].content
        assert b"retry-after: 1" in answers[0][1].content.lower()
