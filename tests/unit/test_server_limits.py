"""One test for each limit of a connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from ordermgmt.net.connection import Limits
from ordermgmt.testing.memory_stream import CAPACITY, MemoryStream
from tests.unit.server_setup import get, read_answer, read_to_end, sample_app, serving

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
POST = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


async def deaf(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Never ask for the body, and answer late."""
    await trio.sleep(300)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def drip(stream: MemoryStream, data: bytes, seconds: float) -> None:
    try:
        for byte in data:
            await stream.send_all(bytes([byte]))
            await trio.sleep(seconds)
    except trio.BrokenResourceError:
        return


async def test_a_head_that_drips_does_not_get_more_time(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app(), limits=Limits(header=15, idle=100)) as server, trio.open_nursery() as nursery:
        start = trio.current_time()
        stream = await server.connect()
        nursery.start_soon(drip, stream, get("/hello"), 1)
        answer = await read_to_end(stream)
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert trio.current_time() - start == pytest.approx(15, abs=3)


async def test_a_later_head_has_its_time_from_its_first_byte_on(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app(), limits=Limits(header=15, idle=100)) as server, trio.open_nursery() as nursery:
        stream = await server.connect()
        await stream.send_all(get("/hello"))
        await read_answer(stream)
        await trio.sleep(90)
        start = trio.current_time()
        nursery.start_soon(drip, stream, get("/hello"), 1)
        assert (await read_to_end(stream)).startswith(b"HTTP/1.1 408 ")
        assert trio.current_time() - start == pytest.approx(15, abs=3)


async def test_a_head_in_time_and_a_slow_answer_are_not_cut(autojump_clock: trio.abc.Clock) -> None:
    async with serving(deaf, limits=Limits(header=15, idle=10, body=10)) as server, trio.open_nursery() as nursery:
        stream = await server.connect()
        nursery.start_soon(drip, stream, get("/hello"), 0.2)
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 204 ")


@pytest.mark.parametrize("head", [POST + b"Content-Length: 5000\r\n\r\n", CHUNKED + b"1000\r\n"])
async def test_a_body_that_drips_is_408_whatever_the_application_does(
    head: bytes, autojump_clock: trio.abc.Clock
) -> None:
    async with serving(deaf, limits=Limits(body=30)) as server, trio.open_nursery() as nursery:
        start = trio.current_time()
        stream = await server.connect()
        await stream.send_all(head)
        nursery.start_soon(drip, stream, b"x" * 1000, 1)
        answer = await read_to_end(stream)
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert b"body-too-slow" in answer
        assert trio.current_time() - start == pytest.approx(30, abs=3)


async def test_a_body_that_is_announced_too_long_reaches_no_application(autojump_clock: trio.abc.Clock) -> None:
    called = False

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        nonlocal called
        called = True

    async with serving(app, limits=Limits(max_body=100)) as server:
        answer = await server.exchange(POST + b"Content-Length: 101\r\nExpect: 100-continue\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert not called


async def test_a_chunked_body_is_refused_where_it_passes_the_limit(autojump_clock: trio.abc.Clock) -> None:
    told = trio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        size = 0
        while (event := await receive())["type"] == "http.request":
            size += len(event["body"])
        assert size <= 100
        told.set()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async with serving(app, limits=Limits(max_body=100)) as server:
        answer = await server.exchange(CHUNKED + b"32\r\n" + b"x" * 50 + b"\r\n33\r\n")
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"content-too-large" in answer
        assert answer.count(b"HTTP/1.1") == 1
        assert told.is_set()


async def test_one_byte_chunks_end_at_the_bound_of_framing(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app()) as server, trio.open_nursery() as nursery:
        stream = await server.connect()

        async def flood() -> None:
            try:
                await stream.send_all(CHUNKED)
                for _ in range(1000):
                    await stream.send_all(b"1\r\nx\r\n" * 100)
            except trio.BrokenResourceError:
                return

        nursery.start_soon(flood)
        assert (await read_to_end(stream)).startswith(b"HTTP/1.1 400 ")


async def test_requests_that_are_sent_ahead_wait_with_the_client(autojump_clock: trio.abc.Clock) -> None:
    served = 0

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        nonlocal served
        await trio.sleep(10)
        served += 1
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with serving(app) as server:
        stream = await server.connect()
        sent = 0
        with trio.move_on_after(9):
            while True:
                await stream.send_all(get("/x") * 20)
                sent += 20
        # One read of 64 KiB is taken, and what TCP's own buffers hold; the request in flight is alone.
        assert sent * len(get("/x")) <= 2 * CAPACITY + 20 * len(get("/x"))
        assert served == 0
        await trio.sleep(12)
        assert served == 2


async def test_requests_that_are_sent_ahead_are_answered_in_turn(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app()) as server:
        chunked = CHUNKED + b'7\r\n{"a":1}\r\n0\r\n\r\n'
        answer = await server.exchange(get("/hello") + chunked + get("/slow") + get("/hello", "Connection: close"))
        bodies = [part.partition(b"HTTP/1.1")[0].strip() for part in answer.split(b"\r\n\r\n")[1:]]
        assert bodies == [b"hello", b'{"a":1}', b"slow", b"hello"]


async def test_the_head_of_a_quiet_answer_with_a_length_leaves_at_once(autojump_clock: trio.abc.Clock) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await trio.sleep(3)
        await send({"type": "http.response.body", "body": b"ok"})

    async with serving(app) as server:
        stream = await server.connect()
        start = trio.current_time()
        await stream.send_all(get("/"))
        assert (await stream.receive_some()).endswith(b"\r\n\r\n")
        assert trio.current_time() - start < 1
        assert await stream.receive_some() == b"ok"


async def test_a_request_that_outlives_its_connection_is_cut(autojump_clock: trio.abc.Clock) -> None:
    async with serving(deaf, limits=Limits(lifetime=100, overtime=50)) as server:
        start = trio.current_time()
        assert await server.exchange(get("/")) == b""
        assert trio.current_time() - start == pytest.approx(150, abs=3)


async def test_an_application_that_asks_for_nothing_holds_up_nobody(autojump_clock: trio.abc.Clock) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await trio.sleep(5)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with serving(app) as server:
        start = trio.current_time()
        answer = await server.exchange(POST + b"Content-Length: 1000\r\nConnection: close\r\n\r\n" + b"x" * 1000)
        assert answer.startswith(b"HTTP/1.1 204 ")
        assert trio.current_time() - start == pytest.approx(5, abs=0.5)


async def test_continue_is_said_once_and_only_for_a_body_that_is_wanted(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app()) as server:
        stream = await server.connect()
        await stream.send_all(POST + b"Content-Length: 7\r\nExpect: 100-continue\r\n\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 100 ")
        await stream.send_all(b'{"a":1}')
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("framing", "status"), [("Content-Length: 5\r\n\r\n", 408), ("Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400)]
)
async def test_the_refusal_of_a_body_to_head_has_none(
    framing: str, status: int, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    head = "HEAD /echo HTTP/1.1\r\nHost: a\r\n"
    async with serving(deaf, limits=Limits(body=30)) as server:
        answer = await server.exchange((head + framing).encode())
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.endswith(b"\r\n\r\n")
    assert "connection-failed" not in "".join(capsys.readouterr())
