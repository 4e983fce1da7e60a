"""The server and its connections, on the memory network under virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from quart import Response

from ordermgmt.errors import Conflict, Unavailable
from ordermgmt.net import Address
from ordermgmt.net.app import App, new_app, one_error, read_json
from ordermgmt.net.connection import Limits
from ordermgmt.net.server import serve
from ordermgmt.testing.memory import CAPACITY, MemoryNetwork, MemoryStream

HERE = Address("127.0.0.1", 80)
Asgi = Callable[..., Awaitable[None]]


def sample_app() -> App:
    app = new_app("sample")

    @app.get("/hello")
    async def hello() -> str:
        return "hello"

    @app.post("/echo")
    async def echo() -> dict[str, int]:
        return await read_json(dict[str, int])

    @app.get("/slow")
    async def slow() -> str:
        await trio.sleep(5)
        return "slow"

    @app.get("/big")
    async def big() -> bytes:
        return b"x" * (4 * CAPACITY)

    @app.get("/fault")
    async def fault() -> str:
        raise RuntimeError("secret cause")

    @app.get("/group")
    async def group() -> str:
        raise ExceptionGroup("two", [Conflict("order-exists", "it exists"), Unavailable("away", retry_after=2)])

    @app.get("/stream")
    async def stream() -> Response:
        async def parts() -> AsyncIterator[bytes]:
            await trio.sleep(3)
            for number in range(20):
                yield b"%d," % number

        return Response(parts(), content_type="text/event-stream")

    return app


class Server:
    def __init__(self, network: MemoryNetwork, drain: trio.Event, finished: trio.Event) -> None:
        self.network = network
        self.drain = drain
        self.finished = finished

    async def connect(self) -> MemoryStream:
        return await self.network.connect(HERE)

    async def exchange(self, request: bytes) -> bytes:
        """Send bytes on a connection of their own and return all that comes back until the server closes it."""
        stream = await self.connect()
        await stream.send_all(request)
        return await read_to_end(stream)


async def read_to_end(stream: MemoryStream) -> bytes:
    received = b""
    with trio.fail_after(3600):
        while data := await stream.receive_some():
            received += data
    return received


async def read_answer(stream: MemoryStream) -> bytes:
    """Read one answer with a content-length, and nothing after it."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += await stream.receive_some()
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += await stream.receive_some()
    assert len(body) == length
    return head + b"\r\n\r\n" + body


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[Server]:
    network, drain, finished = MemoryNetwork(), trio.Event(), trio.Event()
    binding = await network.bind(HERE)

    async def run(task_status: trio.TaskStatus[None]) -> None:
        await serve(app, binding.open_listener(), drain=drain, task_status=task_status, **options)
        finished.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: run(task_status))
        yield Server(network, drain, finished)
        nursery.cancel_scope.cancel()
    binding.close()


def get(path: str, *headers: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", "Host: localhost", *headers, "", ""]).encode()


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
        assert first.startswith(b"HTTP/1.1 200") and first.endswith(b"hello")


async def test_the_head_of_a_quiet_stream_leaves_at_once(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app()) as server:
        stream = await server.connect()
        start = trio.current_time()
        await stream.send_all(get("/stream", "Connection: close"))
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 OK\r\n")
        assert trio.current_time() - start < 1
        body = await read_to_end(stream)
        assert trio.current_time() - start >= 3
        assert b"19," in body and body.endswith(b"0\r\n\r\n")


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
    async with serving(sample_app(), limits=Limits(handshake=10, idle=30)) as server:
        stream = await server.connect()
        await stream.send_all(get("/hello"))
        await read_answer(stream)
        start = trio.current_time()
        assert await read_to_end(stream) == b""
        assert trio.current_time() - start == pytest.approx(30, abs=0.1)


async def test_a_client_that_says_nothing_or_too_slowly_is_cut(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app(), limits=Limits(handshake=10)) as server:
        start = trio.current_time()
        stream = await server.connect()
        with pytest.raises(trio.BrokenResourceError):
            for byte in get("/hello"):
                await stream.send_all(bytes([byte]))
                await trio.sleep(1)
        assert trio.current_time() - start == pytest.approx(10, abs=2)


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
    ],
    ids=["preface", "h2c", "websocket", "garbage", "two-hosts"],
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
        bad = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        await server.exchange(bad)
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
        assert await read_to_end(idle) == b""
        answer = await read_to_end(busy)
        assert answer.endswith(b"slow") and b"connection: close" in answer
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


async def test_a_fault_is_a_500_without_its_cause(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app()) as server:
        answer = await server.exchange(get("/fault", "Connection: close"))
        assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert b"application/problem+json" in answer and b"secret cause" not in answer


async def test_a_group_is_answered_by_its_gravest_error(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app()) as server:
        answer = await server.exchange(get("/group", "Connection: close"))
        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"retry-after: 2" in answer


def test_a_fault_in_a_group_is_not_hidden_by_an_error_of_ours() -> None:
    fault = KeyError("x")
    assert one_error(ExceptionGroup("", [Conflict("c"), ExceptionGroup("", [fault])])) is fault


POST = "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
JSON = "Content-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (POST + JSON + 'Content-Length: 7\r\n\r\n{"a":1}', 200),
        (POST + JSON + 'Content-Length: 9\r\n\r\n{"a":"1"}', 400),
        (POST + JSON + "Content-Length: 3\r\n\r\n\xff\xff\xff", 400),
        (POST + JSON + "Content-Length: 0\r\n\r\n", 400),
        (POST + 'Content-Length: 7\r\n\r\n{"a":1}', 415),
        (POST + JSON + "Content-Length: 300000\r\n\r\n" + "x" * 300000, 413),
        (POST + JSON + "Transfer-Encoding: chunked\r\n\r\n493e0\r\n" + "x" * 300000 + "\r\n0\r\n\r\n", 413),
        (POST + JSON + "Content-Length: 200000\r\n\r\n" + "[" * 200000, 400),
        (POST.replace("/echo", "/nowhere") + "\r\n", 404),
        (POST.replace("POST", "DELETE") + "\r\n", 405),
        (POST.replace("POST", "OPTIONS") + "\r\n", 405),
    ],
)
async def test_bodies_and_routes_are_strict(request_text: str, status: int, autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app()) as server, trio.open_nursery() as nursery:
        stream = await server.connect()
        nursery.start_soon(send_or_break, stream, request_text.encode("latin-1"))
        answer = await read_to_end(stream)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert status == 200 or b"application/problem+json" in answer


async def send_or_break(stream: MemoryStream, data: bytes) -> None:
    try:
        await stream.send_all(data)
    except trio.BrokenResourceError:
        return


async def test_a_body_that_stops_coming_is_408(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app()) as server:
        answer = await server.exchange((POST + JSON + "Content-Length: 10\r\n\r\n{").encode())
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
