"""What a client may try with HTTP/2, frame by frame. Each time the next client is served."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import h2.events
import h2.exceptions
import h2.settings
import h2.stream
import pytest
import trio
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from ordermgmt.net.connection import Limits
from ordermgmt.net.http2_sender import MAX_STREAMS
from tests.unit.http2_setup import FIELDS, POST, Client, connect, serving_http2
from tests.unit.server_setup import sample_app

CALM = 11
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def never(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answer nothing but /hello, and do not mind that the client is gone."""
    if scope["path"] != "/hello":
        await trio.sleep(10_000)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def big(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    body = b"hello" if scope["path"] == "/hello" else b"x" * 4 * 65536
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def attacked(app: Any = None, **limits: Any) -> AsyncIterator[Client]:
    async with serving_http2(app or sample_app(), limits=Limits(**limits)) as server:
        yield await connect(server)
        client = await connect(server)
        assert await client.answer(await client.request(FIELDS)) == (200, b"hello")


def but(name: bytes, value: bytes | None) -> list[tuple[bytes, bytes]]:
    kept = [field for field in FIELDS if field[0] != name]
    return kept if value is None else [(name, value), *kept]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (but(b":path", b"/\xc3\xa9"), 400),
        (but(b":path", b"/a#b"), 400),
        (but(b":path", b"hello"), 400),
        (but(b":path", b"https://localhost/hello"), 400),
        (but(b":path", b"*"), 400),
        (but(b":path", b"/" + b"a" * 9000), 414),
        (but(b":method", b"G\xc9T"), 400),
        (but(b":method", b"get"), 400),
        (but(b":authority", b"user@localhost"), 400),
        (but(b":authority", b"a, b"), 400),
        (but(b":authority", b""), 400),
        ([*FIELDS, (b"x(", b"y")], 400),
        ([*FIELDS, (b"x", b"a\x0bb")], 400),
        ([*FIELDS, (b"expect", b"miracles")], 417),
        ([*FIELDS, *[(b"x", b"y")] * 100], 431),
        ([*FIELDS, (b"x", b"y" * 17_000)], 431),
        ([*POST, (b"content-length", b"300000")], 413),
    ],
)
async def test_a_request_that_is_wrong_gets_an_answer_and_the_connection_goes_on(
    fields: list[tuple[bytes, bytes]], status: int, autojump_clock: trio.abc.Clock
) -> None:
    async with attacked() as client:
        stream = client.h2.get_next_available_stream_id()
        client.h2.send_headers(stream, fields)
        await client.flush()
        assert (await client.answer(stream))[0] == status
        assert await client.answer(await client.request(FIELDS)) == (200, b"hello")


@pytest.mark.parametrize(
    "fields",
    [
        [(b":method", b"CONNECT"), (b":authority", b"localhost")],
        but(b":method", b"CONNECT"),
        [*FIELDS, (b"content-length", b"+5")],
        but(b":path", None),
        but(b":path", b""),
        but(b":authority", None),
        [*FIELDS, (b"host", b"other")],
        [*FIELDS, (b"connection", b"close")],
        [*FIELDS, (b"transfer-encoding", b"chunked")],
        [*FIELDS, (b"Upper", b"x")],
        [*FIELDS, (b"x", b"a\r\nb")],
        [*FIELDS, (b":path", b"/twice")],
        [*FIELDS, *[(b"x%d" % number, b"y" * 1000) for number in range(60)]],
    ],
)
async def test_a_malformed_request_ends_its_connection(
    fields: list[tuple[bytes, bytes]], autojump_clock: trio.abc.Clock
) -> None:
    async with attacked() as client:
        stream = await client.request(fields)
        assert await client.ending() not in {None, 0} or client.status(stream) >= 400


def data(stream: int, size: int) -> DataFrame:
    return DataFrame(stream, b"x" * size)


def frames(kind: str) -> list[Frame]:
    if kind == "ping":
        return [PingFrame(0, b"01234567")] * 5000
    if kind == "settings":
        return [SettingsFrame(0, settings={h2.settings.SettingCodes.HEADER_TABLE_SIZE: 2**31})] * 5000
    if kind == "window":
        return [WindowUpdateFrame(0, window_increment=1)] * 5000
    if kind == "priority":
        return [PriorityFrame(stream, depends_on=0) for stream in range(1, 10_000, 2)]
    if kind == "continuation":
        return [HeadersFrame(1, b"\0\x01a\x01b"), *[ContinuationFrame(1, b"")] * 5000]
    unknown = PingFrame(0, b"01234567")
    unknown.type = 0x42
    return [unknown] * 5000


@pytest.mark.parametrize("kind", ["ping", "settings", "window", "priority", "continuation", "unknown"])
async def test_a_flood_of_frames_that_cost_nothing_is_ended(kind: str, autojump_clock: trio.abc.Clock) -> None:
    async with attacked() as client, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: client.send(*frames(kind)))
        assert await client.ending() in {CALM, 1}


async def test_a_header_block_without_an_end_is_bounded(autojump_clock: trio.abc.Clock) -> None:
    async with attacked() as client, trio.open_nursery() as nursery:
        block = [HeadersFrame(1, b"\0\x01a\x01b"), *[ContinuationFrame(1, b"x" * 16_000)] * 50]
        nursery.start_soon(lambda: client.send(*block))
        assert await client.ending() == CALM


async def test_a_stream_that_depends_on_itself_ends_the_connection(autojump_clock: trio.abc.Clock) -> None:
    async with attacked() as client:
        await client.send(PriorityFrame(1, depends_on=1))
        assert await client.ending() == 1


@pytest.mark.parametrize("size", [0, 1])
async def test_a_body_of_countless_small_frames_is_ended(size: int, autojump_clock: trio.abc.Clock) -> None:
    async with attacked(never) as client, trio.open_nursery() as nursery:
        client.h2.send_headers(1, [*POST])
        nursery.start_soon(lambda: client.send(*[data(1, size)] * 5000))
        assert await client.ending() == CALM


@pytest.mark.parametrize("app", [never, None], ids=["application-runs-on", "application-ends"])
async def test_rapid_resets_are_ended(app: Any, autojump_clock: trio.abc.Clock) -> None:
    async with attacked(app) as client, trio.open_nursery() as nursery:

        async def attack() -> None:
            try:
                for _ in range(2000):
                    stream = await client.request([*FIELDS[:3], (b":path", b"/slow")])
                    await client.send(RstStreamFrame(stream, error_code=8))
                    client.h2.streams[stream].state_machine.state = h2.stream.StreamState.CLOSED
            except (trio.BrokenResourceError, h2.exceptions.ProtocolError):
                return

        nursery.start_soon(attack)
        assert await client.ending() == CALM


async def test_requests_that_make_us_reset_are_ended_too(autojump_clock: trio.abc.Clock) -> None:
    async with attacked() as client, trio.open_nursery() as nursery:

        async def attack() -> None:
            try:
                for _ in range(2000):
                    await client.request(but(b":path", b"bad"))
            except (trio.BrokenResourceError, h2.exceptions.ProtocolError):
                return

        nursery.start_soon(attack)
        assert await client.ending() == CALM


async def test_more_streams_than_are_allowed_end_the_connection(autojump_clock: trio.abc.Clock) -> None:
    async with attacked(never) as client:
        await client.flush()
        client.h2.remote_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
        client.h2.remote_settings.acknowledge()
        for _ in range(MAX_STREAMS + 1):
            await client.request(but(b":path", b"/wait"))
        assert await client.ending() not in {None, 0}


async def test_data_after_the_answer_is_thrown_away(autojump_clock: trio.abc.Clock) -> None:
    async with attacked() as client:
        client.h2.send_headers(1, [*POST[:3], (b":path", b"/nowhere")])
        client.h2.send_data(1, b"x")
        await client.flush()
        assert (await client.answer(1))[0] in {404, 405}
        await client.send(*[data(1, 10_000)] * 20)
        assert await client.answer(await client.request(FIELDS)) == (200, b"hello")


async def test_a_body_over_the_limit_is_413(autojump_clock: trio.abc.Clock) -> None:
    async with attacked(never, max_body=20_000) as client:
        client.h2.send_headers(1, POST)
        for _ in range(3):
            client.h2.send_data(1, b"x" * 8000)
        await client.flush()
        assert (await client.answer(1))[0] == 413
        assert await client.answer(await client.request(FIELDS)) == (200, b"hello")


async def test_bodies_are_bounded_together(autojump_clock: trio.abc.Clock) -> None:
    async with attacked(never, max_body=10_000) as client:
        streams = []
        for _ in range(6):
            stream = client.h2.get_next_available_stream_id()
            client.h2.send_headers(stream, POST)
            client.h2.send_data(stream, b"x" * 9000)
            await client.flush()
            streams.append(stream)
        assert (await client.answer(streams[4]))[0] == 503
        assert not client.status(streams[0])


async def test_a_body_that_drips_is_408_and_other_streams_go_on(autojump_clock: trio.abc.Clock) -> None:
    async with attacked(never, body=30) as client:
        start = trio.current_time()
        client.h2.send_headers(1, POST)
        for _ in range(29):
            client.h2.send_data(1, b"x")
            await client.flush()
            await trio.sleep(1)
        assert (await client.answer(1))[0] == 408
        assert trio.current_time() - start == pytest.approx(30, abs=1)
        assert await client.answer(await client.request(FIELDS)) == (200, b"hello")


@pytest.mark.parametrize(("window", "units"), [(0, 5), (1000, 4)])
async def test_a_client_that_does_not_open_its_window_loses_its_stream(
    window: int, units: int, autojump_clock: trio.abc.Clock
) -> None:
    async with attacked(big, send=30) as client:
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        client.opens_windows = False
        start = trio.current_time()
        stream = await client.request(but(b":path", b"/big"))
        await client.answer(stream)
        assert [event.error_code for event in client.of(h2.events.StreamReset)] == [8]
        assert trio.current_time() - start == pytest.approx(30 * units, abs=1)


async def test_a_window_that_opens_by_a_byte_at_a_time_does_not_help(autojump_clock: trio.abc.Clock) -> None:
    async with attacked(big, send=30) as client, trio.open_nursery() as nursery:
        client.opens_windows = False
        start = trio.current_time()
        stream = await client.request(but(b":path", b"/big"))

        async def drip() -> None:
            while True:
                await trio.sleep(10)
                client.h2.increment_flow_control_window(1)
                client.h2.increment_flow_control_window(1, stream)
                await client.flush()

        nursery.start_soon(drip)
        await client.answer(stream)
        assert trio.current_time() - start <= 30 * 5 + 1
        nursery.cancel_scope.cancel()


async def test_trailers_end_a_body(autojump_clock: trio.abc.Clock) -> None:
    async with attacked() as client:
        client.h2.send_headers(1, POST)
        client.h2.send_data(1, b'{"a":1}')
        client.h2.send_headers(1, [(b"x-checksum", b"1")], end_stream=True)
        await client.flush()
        assert (await client.answer(1))[0] == 200


async def test_a_request_that_is_never_answered_is_cut_with_its_connection(autojump_clock: trio.abc.Clock) -> None:
    async with attacked(never, lifetime=100, overtime=50) as client:
        start = trio.current_time()
        await client.request(but(b":path", b"/wait"))
        await client.ending()
        assert trio.current_time() - start == pytest.approx(150, abs=3)


@pytest.mark.parametrize(
    "wire",
    [
        struct.pack(">I", 2**24 - 1)[1:] + b"\x00\x00\x00\x00\x00\x01",
        b"\x00\x00\x05\x06\x00\x00\x00\x00\x00short",
        b"\x00\x00\x01\x00\x08\x00\x00\x00\x01\xff",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["huge-frame", "bad-ping", "bad-padding", "http-1"],
)
async def test_frames_that_are_none_end_the_connection(wire: bytes, autojump_clock: trio.abc.Clock) -> None:
    async with attacked() as client:
        await client.stream.send_all(wire)
        assert await client.ending() not in {None, 0}
