"""What a client may try with HTTP/2 requests. Each time the next client is served."""

from __future__ import annotations

import h2.events
import h2.exceptions
import h2.settings
import h2.stream
import pytest
import trio
from hyperframe.frame import DataFrame

from tests.unit.http2_setup import FIELDS, POST, attacked, big, but, never


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


async def test_data_after_the_answer_is_thrown_away(autojump_clock: trio.abc.Clock) -> None:
    async with attacked() as client:
        client.h2.send_headers(1, [*POST[:3], (b":path", b"/nowhere")])
        client.h2.send_data(1, b"x")
        await client.flush()
        assert (await client.answer(1))[0] in {404, 405}
        await client.send(*[DataFrame(1, b"x" * 10_000)] * 20)
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


@pytest.mark.parametrize("window", [0, 1000])
async def test_a_client_that_does_not_open_its_window_loses_its_stream(
    window: int, autojump_clock: trio.abc.Clock
) -> None:
    async with attacked(big, send=30) as client:
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        client.opens_windows = False
        start = trio.current_time()
        stream = await client.request(but(b":path", b"/big"))
        await client.answer(stream)
        assert [event.error_code for event in client.of(h2.events.StreamReset)] == [8]
        assert trio.current_time() - start == pytest.approx(30, abs=1)


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
        assert trio.current_time() - start == pytest.approx(30, abs=1)
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
