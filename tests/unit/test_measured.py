"""Edges are measured where somebody waits: at the client of a service, and at the gateway for those outside."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from ordermgmt.net import Address
from ordermgmt.net.measured import measured
from ordermgmt.net.outbound import Interrupted, Unreachable
from ordermgmt.telemetry.edges import outcome_of
from ordermgmt.testing.memory import MemoryNetwork
from tests.unit.test_outbound import OPENERS, Open

HERE = Address("127.0.0.1", 1)


@pytest.fixture(params=OPENERS)
def opened(request: pytest.FixtureRequest) -> Open:
    return OPENERS[request.param]


async def observed_of(
    opened: Open, answer: bytes | None, *, patience: float = 60, listening: bool = True, follows: bool = False
) -> list[tuple[float, str]]:
    """Send one request to a server that takes three seconds, and return what was observed of it."""
    network, seen = MemoryNetwork(), list[tuple[float, str]]()

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        binding = await network.bind(HERE)
        async with binding.open_listener() as listener:
            task_status.started()
            stream = await listener.accept()
            await stream.receive_some()
            await trio.sleep(3)
            if answer is not None:
                await stream.send_all(answer)
            await stream.aclose()

    async with trio.open_nursery() as nursery:
        if listening:
            await nursery.start(serve)
        async with opened(network, [HERE], tls=None, observe=lambda *one: seen.append(one)) as client:
            with trio.move_on_after(patience):
                with suppress(Unreachable, Interrupted):
                    if follows:
                        await client.follow("/", list[bytes]().append, limit=100)
                    else:
                        await client.request("GET", "/")
        nursery.cancel_scope.cancel()
    return [(round(seconds, 3), outcome) for seconds, outcome in seen]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", "ok"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "refused"),
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", "failed"),
        (None, "failed"),
    ],
    ids=["answer", "refusal", "failure", "no-answer"],
)
async def test_a_request_is_observed_once_with_its_time(
    opened: Open, answer: bytes | None, outcome: str, autojump_clock: MockClock
) -> None:
    assert await observed_of(opened, answer) == [(3.0, outcome)]


async def test_a_request_that_is_given_up_is_observed_too(opened: Open, autojump_clock: MockClock) -> None:
    assert await observed_of(opened, b"", patience=2) == [(2.0, "cancelled")]


async def test_so_is_one_that_never_left(opened: Open, autojump_clock: MockClock) -> None:
    assert await observed_of(opened, b"", listening=False) == [(0.0, "failed")]


async def test_what_is_followed_is_observed_when_its_status_is_there(opened: Open, autojump_clock: MockClock) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nline\n"  # and then it breaks off
    assert await observed_of(opened, head, follows=True) == [(3.0, "ok")]
    assert await observed_of(opened, None, follows=True) == [(3.0, "failed")]
    assert await observed_of(opened, b"", follows=True, patience=2) == [(2.0, "cancelled")]


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, "ok"), (304, "ok"), (400, "refused"), (499, "refused"), (500, "failed")]
)
def test_outcomes(status: int, outcome: str) -> None:
    assert outcome_of(status) == outcome


async def answer_with(app: Any, patience: float = 60) -> list[tuple[float, str]]:
    seen: list[tuple[float, str]] = []

    async def nothing(*_: Any) -> None:
        await trio.lowlevel.checkpoint()

    with trio.move_on_after(patience):
        with suppress(OSError):
            watched = measured(app, "order", lambda _method, _route, *one: seen.append(one), lambda: "an-id")
            await watched({"type": "http", "method": "GET", "headers": []}, nothing, nothing)  # type: ignore[arg-type]
    return seen


async def test_an_answer_is_observed_when_it_begins(autojump_clock: MockClock) -> None:
    async def streams(_scope: Any, _receive: Any, send: Any) -> None:
        await trio.sleep(1)
        await send({"type": "http.response.start", "status": 200})
        await trio.sleep(3600)
        await send({"type": "http.response.body"})

    assert await answer_with(streams, patience=7200) == [(1.0, "ok")]


async def test_no_answer_is_a_failure_and_a_client_that_left_is_none(autojump_clock: MockClock) -> None:
    async def silent(*_: Any) -> None:
        await trio.sleep(1)

    async def broken(*_: Any) -> None:
        await trio.sleep(1)
        raise OSError

    async def slow(*_: Any) -> None:
        await trio.sleep(10)

    assert await answer_with(silent) == [(1.0, "failed")]
    assert await answer_with(broken) == [(1.0, "failed")]
    assert await answer_with(slow, patience=2) == [(2.0, "cancelled")]
