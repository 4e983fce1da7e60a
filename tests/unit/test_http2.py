"""HTTP/2 as clients use it, and how its connections end."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import h2.events
import h2.settings
import pytest
import trio
from hyperframe.frame import PingFrame, RstStreamFrame

from ordermgmt.net.connection import Limits
from tests.unit.http2_setup import FIELDS, POST, Client, big, connect, serving_http2
from tests.unit.server_setup import sample_app

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def path(value: bytes) -> list[tuple[bytes, bytes]]:
    return [*FIELDS[:3], (b":path", value)]


async def test_requests_are_answered_side_by_side(autojump_clock: trio.abc.Clock) -> None:
    async with serving_http2(sample_app()) as server:
        client = await connect(server)
        slow = await client.request(path(b"/slow"))
        quick = [await client.request(FIELDS) for _ in range(20)]
        body = await client.request(POST, b'{"a":1}')
        assert [await client.answer(one) for one in quick] == [(200, b"hello")] * 20
        status, echoed = await client.answer(body)
        assert (status, echoed.strip()) == (200, b'{"a":1}')
        assert client.status(slow) == 0
        assert await client.answer(slow) == (200, b"slow")


async def test_an_answer_is_sent_as_windows_open(autojump_clock: trio.abc.Clock) -> None:
    async with serving_http2(sample_app()) as server:
        client = await connect(server)
        streams = [await client.request(path(b"/big")) for _ in range(3)]
        assert {len((await client.answer(one))[1]) for one in streams} == {4 * 65536}


async def test_the_head_of_a_quiet_stream_leaves_at_once(autojump_clock: trio.abc.Clock) -> None:
    async with serving_http2(sample_app()) as server:
        client = await connect(server)
        start = trio.current_time()
        stream = await client.request(path(b"/stream"))
        while not client.status(stream):
            await client.receive()
        assert trio.current_time() - start < 1
        assert b"19," in (await client.answer(stream))[1]


async def test_the_authority_becomes_the_host(autojump_clock: trio.abc.Clock) -> None:
    scopes: list[dict[str, Any]] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await send({"type": "http.response.start", "status": 204, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body"})

    async with serving_http2(app) as server:
        client = await connect(server)
        assert (await client.answer(await client.request([*path(b"/a%20b?c"), (b"x", b"y")])))[0] == 204
        host_only = [field for field in FIELDS if field[0] != b":authority"] + [(b"host", b"elsewhere")]
        assert (await client.answer(await client.request(host_only)))[0] == 204
    assert scopes[0]["headers"] == [(b"host", b"localhost"), (b"x", b"y")]
    assert (scopes[0]["path"], scopes[0]["query_string"], scopes[0]["http_version"]) == ("/a b", b"c", "2")
    assert scopes[1]["headers"] == [(b"host", b"elsewhere")]


async def test_a_fault_of_the_application_is_500_and_the_connection_goes_on(autojump_clock: trio.abc.Clock) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["path"] == "/head":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"bad name", b"x")]})
        if scope["path"] == "/half":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("secret cause")

    async with serving_http2(app) as server:
        client = await connect(server)
        assert await client.answer(await client.request(FIELDS)) == (500, b"")
        assert await client.answer(await client.request(path(b"/half"))) == (200, b"half")
        assert client.of(h2.events.StreamReset)[-1].error_code == 2
        assert await client.answer(await client.request(path(b"/head"))) == (500, b"")


async def test_an_idle_connection_says_goodbye(autojump_clock: trio.abc.Clock) -> None:
    async with serving_http2(sample_app(), limits=Limits(idle=30)) as server:
        client = await connect(server)
        await client.answer(await client.request(FIELDS))
        start = trio.current_time()

        async def ping() -> None:
            while True:
                await trio.sleep(5)
                client.h2.ping(b"01234567")
                await client.flush()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ping)
            assert await client.ending() == 0
            nursery.cancel_scope.cancel()
        assert trio.current_time() - start == pytest.approx(30, abs=0.5)


async def test_a_client_that_asks_for_nothing_is_cut(autojump_clock: trio.abc.Clock) -> None:
    async with serving_http2(sample_app(), limits=Limits(header=15)) as server:
        start = trio.current_time()
        assert await (await connect(server)).ending() == 0
        assert trio.current_time() - start == pytest.approx(15, abs=0.5)


async def test_a_connection_ends_after_its_lifetime(autojump_clock: trio.abc.Clock) -> None:
    async with serving_http2(sample_app(), limits=Limits(lifetime=600, idle=1000)) as server:
        client = await connect(server)
        assert await client.answer(await client.request(FIELDS)) == (200, b"hello")
        await trio.sleep(601)
        stream = await client.request(FIELDS)
        assert await client.ending() == 0
        assert client.status(stream) == 200


async def test_drain_finishes_streams_in_flight_and_takes_no_new_ones(autojump_clock: trio.abc.Clock) -> None:
    async with serving_http2(sample_app(), drain_timeout=60) as server:
        idle, busy = await connect(server), await connect(server)
        await idle.answer(await idle.request(FIELDS))
        slow = await busy.request(path(b"/slow"))
        await trio.sleep(1)
        server.drain.set()
        assert await idle.ending() == 0
        late = await busy.request(FIELDS)
        raw = await busy.stream.receive_some()
        while data := await busy.stream.receive_some():
            raw += data
        assert raw.count(b"slow") == 1
        assert raw.count(b"hello") == 0
        assert late > slow
        with trio.fail_after(3):
            await server.finished.wait()


async def test_a_drain_tells_all_though_some_do_not_read(autojump_clock: trio.abc.Clock) -> None:
    async with serving_http2(big, drain_timeout=20) as server:
        idle = []
        for number in range(9):
            client = await connect(server)
            if number in {2, 5}:
                await hold_up(client)
            else:
                assert await client.answer(await client.request(FIELDS)) == (200, b"hello")
                idle.append(client)
        server.drain.set()
        with trio.fail_after(1):
            for client in idle:
                assert await client.ending() == 0


async def hold_up(client: Client) -> None:
    """Have more sent than the client takes, with windows that let it through."""
    client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**30})
    client.h2.increment_flow_control_window(2**30)
    await client.flush()
    for _ in range(20):
        await client.request(path(b"/big"))
    await trio.sleep(1)


async def test_streams_that_are_reset_do_not_take_others_with_them(autojump_clock: trio.abc.Clock) -> None:
    seconds = itertools.count(0.1, 0.02)

    async def late(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await trio.sleep(next(seconds))  # the connection is reading by then, and the applications send one by one
        await big(scope, receive, send)

    async with serving_http2(late) as server:
        client = await connect(server)
        await hold_up(client)
        # The answer to the ping waits for the client to read, and the news of the resets waits behind it.
        resets = [RstStreamFrame(stream, error_code=8) for stream in range(1, 20, 2)]
        await client.stream.send_all(b"".join(frame.serialize() for frame in (PingFrame(0, b"01234567"), *resets)))
        await trio.sleep(1)
        for stream in range(21, 40, 2):
            assert await client.answer(stream) == (200, b"x" * 4 * 65536)


async def test_drain_ends_at_its_deadline_even_against_a_closed_window(autojump_clock: trio.abc.Clock) -> None:
    async with serving_http2(sample_app(), drain_timeout=2, limits=Limits(send=1000)) as server:
        client = await connect(server)
        client.opens_windows = False
        await client.request(path(b"/big"))
        await trio.sleep(1)
        server.drain.set()
        with trio.fail_after(5):
            await server.finished.wait()


async def test_a_client_that_resets_its_stream_cancels_its_request(autojump_clock: trio.abc.Clock) -> None:
    told = trio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        told.set()

    async with serving_http2(app) as server:
        client = await connect(server)
        stream = await client.request(FIELDS)
        await trio.sleep(1)
        client.h2.reset_stream(stream)
        await client.flush()
        with trio.fail_after(1):
            await told.wait()


async def test_continue_is_said_before_a_body(autojump_clock: trio.abc.Clock) -> None:
    async with serving_http2(sample_app()) as server:
        client = await connect(server)
        stream = client.h2.get_next_available_stream_id()
        client.h2.send_headers(stream, [*POST, (b"expect", b"100-continue")])
        await client.flush()
        while not client.of(h2.events.InformationalResponseReceived):
            await client.receive()
        client.h2.send_data(stream, b'{"a":1}', end_stream=True)
        await client.flush()
        assert (await client.answer(stream))[0] == 200
