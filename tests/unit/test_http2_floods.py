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

from ordermgmt.net.http2_sender import MAX_STREAMS
from tests.unit.http2_setup import FIELDS, POST, attacked, but, never

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
