"""Floods of HTTP/2 frames, and frames that are none. Each time the next client is served."""

from __future__ import annotations

import struct
from typing import Any

import h2.events
import h2.exceptions
import h2.settings
import h2.stream
import pytest
import trio
from hypercorn.config import Config
from hypercorn.events import RawData
from hypercorn.typing import ConnectionState
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

from ordermgmt.net.app_tasks import AppTasks
from ordermgmt.net.http2 import Http2
from ordermgmt.net.http2_sender import MAX_STREAMS
from ordermgmt.net.limits import Limits
from tests.unit.http2_setup import FIELDS, POST, Receive, Send, attacked, but, never

CALM = 11


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
        # Before, so that no other frame has to be sent in the middle of the block.
        await client.answer(await client.request(FIELDS))
        block = [HeadersFrame(3, b"\0\x01a\x01b"), *[ContinuationFrame(3, b"x" * 16_000)] * 50]
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


@pytest.mark.parametrize("kind", [DataFrame, HeadersFrame])
async def test_frames_for_a_stream_that_is_reset_are_ended(
    kind: type[DataFrame | HeadersFrame], autojump_clock: trio.abc.Clock
) -> None:
    async with attacked(never) as client, trio.open_nursery() as nursery:
        stream = await client.request(POST, b"{}")
        late = kind(stream, b"\x82", flags=["END_STREAM", "END_HEADERS"] if kind is HeadersFrame else ["END_STREAM"])
        nursery.start_soon(lambda: client.send(RstStreamFrame(stream, error_code=8), *[late] * 2000))
        assert await client.ending() == CALM


async def test_requests_in_any_number_are_no_flood(autojump_clock: trio.abc.Clock) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200 if scope["path"] == "/hello" else 204, "headers": []})
        await send({"type": "http.response.body", "body": b"hello" if scope["path"] == "/hello" else b""})

    async with attacked(app) as client:
        for _ in range(600):
            assert await client.answer(await client.request([*FIELDS[:3], (b":path", b"/")])) == (204, b"")
            client.events.clear()


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


async def test_applications_of_streams_that_were_reset_still_count(autojump_clock: trio.abc.Clock) -> None:
    async with attacked(never) as client:
        for _ in range(MAX_STREAMS):
            stream = await client.request(but(b":path", b"/wait"))
            client.h2.reset_stream(stream)
            await client.flush()
            await trio.sleep(1)
        await client.answer(await client.request(FIELDS))
        assert [event.error_code for event in client.of(h2.events.StreamReset)] == [7]  # REFUSED_STREAM


async def test_the_table_of_our_fields_stays_small(autojump_clock: trio.abc.Clock) -> None:
    async def send(_: object) -> None:
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        server = Http2(
            lambda *_: pytest.fail("no request was made"),
            Config(),
            AppTasks(nursery),
            ConnectionState({}),
            send,
            limits=Limits(),
            wait_for=lambda _: None,
            must_close=lambda: False,
        )
        await server.initiate()
        settings = SettingsFrame(0, settings={h2.settings.SettingCodes.HEADER_TABLE_SIZE: 2**31})
        await server.handle(RawData(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings.serialize()))
        assert server._h2.encoder.header_table_size == 4096
