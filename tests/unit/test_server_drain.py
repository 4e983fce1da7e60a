"""What a server that drains still takes: requests on their way, and for its drain delay new ones, too."""

from __future__ import annotations

import pytest
import trio

from ordermgmt.net.connection import Limits
from tests.unit.server_setup import Server, get, read_answer, read_to_end, sample_app, serving

DELAY = 5.0


async def asked(server: Server, path: str = "/hello") -> bytes:
    return await server.exchange(get(path))


async def test_new_requests_are_taken_in_the_delay_and_end_their_connections(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app(), limits=Limits(drain_delay=DELAY)) as server:
        kept = await server.connect()
        await kept.send_all(get("/hello"))
        assert b"connection: close" not in await read_answer(kept)
        server.drain.set()
        start = trio.current_time()
        for _ in range(3):
            await trio.sleep(1)
            answer = await asked(server)  # which reads until the server closes
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"connection: close" in answer
        await kept.send_all(get("/hello"))
        answer = await read_to_end(kept)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close" in answer
        await server.finished.wait()
        assert DELAY <= trio.current_time() - start < DELAY + 0.5


async def test_nothing_new_is_taken_after_the_delay(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app(), limits=Limits(drain_delay=DELAY), drain_timeout=60) as server:
        busy = await server.connect()
        await trio.sleep(0.1)
        server.drain.set()
        await trio.sleep(DELAY - 1)
        await busy.send_all(get("/slow"))
        await trio.sleep(1.5)
        late = await server.connect()  # to the address, which outlives the listener
        await late.send_all(get("/hello"))
        with trio.move_on_after(1) as waiting:
            await late.receive_some()
        assert waiting.cancelled_caught
        assert (await read_to_end(busy)).endswith(b"slow")
        await server.finished.wait()


async def test_a_request_that_is_on_its_way_when_the_drain_begins_is_answered(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app(), drain_timeout=60) as server:
        kept = await server.connect()
        await kept.send_all(get("/hello"))
        await read_answer(kept)
        server.drain.set()
        await trio.sleep(0.05)
        await kept.send_all(get("/hello"))
        answer = await read_to_end(kept)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close" in answer


@pytest.mark.parametrize(
    ("received", "seconds"),
    [(b"", 0.5), (b"GET /he", 2.5)],  # who has begun is told of it, and has the time for a close to hear it
)
async def test_an_idle_connection_does_not_hold_the_drain_up(
    autojump_clock: trio.abc.Clock, received: bytes, seconds: float
) -> None:
    async with serving(sample_app(), drain_timeout=60) as server:
        idle = await server.connect()
        await idle.send_all(received)
        await trio.sleep(1)
        server.drain.set()
        start = trio.current_time()
        await read_to_end(idle)
        await server.finished.wait()
        assert trio.current_time() - start < seconds
