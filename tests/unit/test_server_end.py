"""How connections and the server end."""

from __future__ import annotations

import trio

from ordermgmt.net.app import new_app
from ordermgmt.net.connection import Limits
from tests.unit.server_setup import get, read_answer, read_to_end, sample_app, serving


async def test_drain_finishes_what_is_in_flight_and_tells_keep_alive_clients_to_go(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with serving(sample_app(), drain_timeout=60) as server:
        idle, busy = await server.connect(), await server.connect()
        await idle.send_all(get("/hello"))
        await read_answer(idle)
        await busy.send_all(get("/slow"))
        await trio.sleep(1)
        server.drain.set()
        start = trio.current_time()
        assert await read_to_end(idle) == b""
        assert trio.current_time() - start < 1
        answer = await read_to_end(busy)
        assert answer.endswith(b"slow")
        assert b"connection: close" in answer
        with trio.fail_after(1):
            await server.finished.wait()


async def test_drain_ends_at_its_deadline_even_against_a_client_that_does_not_read(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with serving(sample_app(), drain_timeout=2, limits=Limits(send=1000)) as server:
        stream = await server.connect()
        await stream.send_all(get("/big"))
        await trio.sleep(1)
        server.drain.set()
        with trio.fail_after(5):
            await server.finished.wait()


async def test_cancelling_the_server_ends_it_at_once_with_a_send_in_progress(autojump_clock: trio.abc.Clock) -> None:
    start = trio.current_time()
    async with serving(sample_app(), limits=Limits(send=1000)) as server:
        stream = await server.connect()
        await stream.send_all(get("/big"))
        await trio.sleep(1)
    assert trio.current_time() - start < 5


async def test_a_client_that_hangs_up_cancels_its_request(autojump_clock: trio.abc.Clock) -> None:
    ended = trio.Event()
    app = new_app("sample")

    @app.get("/wait")
    async def wait() -> str:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()
        return ""

    async with serving(app) as server:
        stream = await server.connect()
        await stream.send_all(get("/wait"))
        await trio.sleep(1)
        await stream.aclose()
        with trio.fail_after(1):
            await ended.wait()


async def test_a_connection_ends_with_its_response_after_its_lifetime(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app(), limits=Limits(lifetime=600, idle=1000)) as server:
        stream = await server.connect()
        await stream.send_all(get("/hello"))
        assert b"connection: close" not in await read_answer(stream)
        await trio.sleep(601)
        await stream.send_all(get("/hello"))
        answer = await read_to_end(stream)
        assert b"connection: close" in answer
        assert answer.endswith(b"hello")


async def test_a_fault_of_ours_in_one_connection_ends_that_one_only(autojump_clock: trio.abc.Clock) -> None:
    faults = iter([True, False])

    def identify(_: bytes | None) -> object:
        if next(faults):
            msg = "a fault of ours"
            raise RuntimeError(msg)
        return None

    async with serving(sample_app(), identify=identify) as server:
        first = await server.connect()
        assert await read_to_end(first) == b""
        assert (await server.exchange(get("/hello", "Connection: close"))).endswith(b"hello")
