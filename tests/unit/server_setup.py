"""A small application, served on the memory network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from quart import Response

from ordermgmt.errors import Conflict, Unavailable
from ordermgmt.net import Address
from ordermgmt.net.app import App, new_app, read_json
from ordermgmt.net.server import serve
from ordermgmt.testing.memory import MemoryNetwork
from ordermgmt.testing.memory_stream import CAPACITY, MemoryStream

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
        await nursery.start(run)
        yield Server(network, drain, finished)
        nursery.cancel_scope.cancel()
    binding.close()


def get(path: str, *headers: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", "Host: localhost", *headers, "", ""]).encode()
