"""The server and its connections, on the memory network under virtual time."""

from __future__ import annotations

import pytest
import trio

from ordermgmt.net.connection import Limits
from tests.unit.server_setup import get, read_answer, read_to_end, sample_app, serving


async def test_answers_with_a_reason_phrase_and_keeps_the_connection(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app()) as server:
        stream = await server.connect()
        for _ in range(3):
            await stream.send_all(get("/hello"))
            answer = await read_answer(stream)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"\r\n\r\nhello")


async def test_head_and_body_leave_in_one_write(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app()) as server:
        stream = await server.connect()
        await stream.send_all(get("/hello"))
        first = await stream.receive_some()
        assert first.startswith(b"HTTP/1.1 200")
        assert first.endswith(b"hello")


async def test_the_head_of_a_quiet_stream_leaves_at_once(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app()) as server:
        stream = await server.connect()
        start = trio.current_time()
        await stream.send_all(get("/stream", "Connection: close"))
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 OK\r\n")
        assert trio.current_time() - start < 1
        body = await read_to_end(stream)
        assert trio.current_time() - start >= 3
        assert b"19," in body
        assert body.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    "request_bytes",
    [get("/hello", "Connection: close"), get("/hello", version="1.0")],
    ids=["connection-close", "http-1.0"],
)
async def test_a_connection_closes_at_once_when_the_client_asks_for_it(
    request_bytes: bytes, autojump_clock: trio.abc.Clock
) -> None:
    async with serving(sample_app()) as server:
        start = trio.current_time()
        assert (await server.exchange(request_bytes)).endswith(b"hello")
        assert trio.current_time() - start < 1


async def test_an_idle_connection_is_closed_at_its_deadline(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app(), limits=Limits(idle=30)) as server:
        stream = await server.connect()
        await stream.send_all(get("/hello"))
        await read_answer(stream)
        start = trio.current_time()
        assert await read_to_end(stream) == b""
        assert trio.current_time() - start == pytest.approx(30, abs=0.1)


async def test_a_client_that_says_nothing_or_too_slowly_is_cut(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app(), limits=Limits(header=10)) as server:
        start = trio.current_time()
        stream = await server.connect()
        with pytest.raises(trio.BrokenResourceError):  # it has 2 s more to read the answer
            for byte in get("/hello"):
                await stream.send_all(bytes([byte]))
                await trio.sleep(1)
        assert trio.current_time() - start == pytest.approx(12, abs=2)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"505 HTTP Version Not Supported"),
        (
            get("/hello", "Upgrade: h2c", "HTTP2-Settings: !!", "Connection: Upgrade, HTTP2-Settings"),
            b"501 Not Implemented",
        ),
        (get("/hello", "Upgrade: WebSocket", "Connection: upgrade") + b"\x81\x05hello", b"501 Not Implemented"),
        (b"\x16\x03\x01 this is not HTTP\r\n\r\n", b"400 Bad Request"),
        (get("/hello").replace(b"Host", b"Host: a\r\nHost"), b"400 Bad Request"),
        (get("/hello").replace(b"\r\nHost", b"\nHost"), b"400 Bad Request"),
        (get("/hello", "X: a", " folded"), b"400 Bad Request"),
        (get("/hello", "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n", b"400 Bad Request"),
        (get("/hello", "Transfer-Encoding: chunked", version="1.0") + b"0\r\n\r\n", b"400 Bad Request"),
        (get("/hello", "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", b"501 Not Implemented"),
        (get("/" + "x" * 9000), b"414 Request-URI Too Long"),
        (get("/hello", *["X: y"] * 200), b"431 Request Header Fields Too Large"),
        (get("/hello", "X: " + "y" * 20_000), b"431 Request Header Fields Too Large"),
    ],
    ids=[
        "preface",
        "h2c",
        "websocket",
        "garbage",
        "two-hosts",
        "bare-lf",
        "obs-fold",
        "two-lengths",
        "chunked-1.0",
        "unknown-coding",
        "long-target",
        "many-fields",
        "long-field",
    ],
)
async def test_other_protocols_are_refused_and_the_next_client_is_served(
    request_bytes: bytes, status: bytes, autojump_clock: trio.abc.Clock
) -> None:
    async with serving(sample_app()) as server:
        answer = await server.exchange(request_bytes)
        assert answer.startswith(b"HTTP/1.1 " + status + b"\r\n")
        assert b"connection: close" in answer.lower()
        assert (await server.exchange(get("/hello", "Connection: close"))).endswith(b"hello")


async def test_a_bad_chunk_header_ends_only_its_own_connection(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app()) as server:
        head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        await server.exchange(head + b"zz\r\n")
        assert (await server.exchange(get("/hello", "Connection: close"))).endswith(b"hello")


async def test_a_client_that_does_not_read_is_cut_after_the_send_limit(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app(), limits=Limits(send=30)) as server:
        stream = await server.connect()
        await stream.send_all(get("/big"))
        start = trio.current_time()
        while True:
            await trio.sleep(1)
            try:
                await stream.send_all(b"")
            except trio.BrokenResourceError:
                break
        assert trio.current_time() - start == pytest.approx(30, abs=3)


async def test_an_early_answer_reaches_a_client_that_is_still_sending(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app()) as server:
        stream = await server.connect()
        head = b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n"
        await stream.send_all(head)
        await trio.sleep(0.5)
        await stream.send_all(b"x" * 4000)
        answer = await read_to_end(stream)
        assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
        assert b"connection: close" in answer
