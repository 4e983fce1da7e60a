"""A client that speaks HTTP/2 well, or as badly as a test wants."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import h2.config
import h2.connection
import h2.events
import hyperframe.frame
import trio
import trustme

from ordermgmt.net.connection import Limits
from tests.unit.server_setup import Server, sample_app, serving

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
AUTHORITY = trustme.CA()
FIELDS = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", b"/hello")]
POST = [(b":method", b"POST"), *FIELDS[1:3], (b":path", b"/echo"), (b"content-type", b"application/json")]


def context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost").configure_cert(made)
    made.set_alpn_protocols(["h2", "http/1.1"])
    return made


class Client:
    """One connection. `events` are all that came."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        config = h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.events: list[Any] = []
        self.opens_windows = True
        self.sending = trio.Lock()

    async def flush(self) -> None:
        async with self.sending:
            await self.stream.send_all(self.h2.data_to_send())

    async def send(self, *frames: hyperframe.frame.Frame) -> None:
        """Send frames behind h2's back, as far as the server takes them."""
        await self.flush()
        for frame in frames:
            try:
                async with self.sending:
                    await self.stream.send_all(frame.serialize())
            except trio.BrokenResourceError:
                return

    async def request(self, fields: list[tuple[bytes, bytes]], body: bytes | None = None) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, fields, end_stream=body is None)
        if body is not None:
            self.h2.send_data(stream_id, body, end_stream=True)
        await self.flush()
        return stream_id

    async def receive(self) -> bool:
        """Take what comes next; False at the end."""
        try:
            data = await self.stream.receive_some()
        except trio.BrokenResourceError:
            return False
        if not data:
            return False
        for event in self.h2.receive_data(data):
            self.events.append(event)
            if isinstance(event, h2.events.DataReceived) and self.opens_windows:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        with suppress(trio.BrokenResourceError):
            await self.flush()
        return True

    async def answer(self, stream_id: int) -> tuple[int, bytes]:
        """Return status and body of a stream; status 0 if it is reset without one."""
        while not any(
            isinstance(event, h2.events.StreamEnded | h2.events.StreamReset) and event.stream_id == stream_id
            for event in self.events
        ):
            if not await self.receive():
                break
        return self.status(stream_id), b"".join(
            event.data for event in self.of(h2.events.DataReceived) if event.stream_id == stream_id
        )

    def status(self, stream_id: int) -> int:
        heads = [event for event in self.of(h2.events.ResponseReceived) if event.stream_id == stream_id]
        return int(dict(heads[0].headers)[":status"]) if heads else 0

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def ending(self) -> int | None:
        """Read to the end of the connection; return the code of its GOAWAY."""
        with trio.fail_after(3600):
            while await self.receive():
                pass
        codes = [event.error_code for event in self.of(h2.events.ConnectionTerminated)]
        return int(codes[-1]) if codes else None


async def connect(server: Server) -> Client:
    trusting = ssl.create_default_context()
    AUTHORITY.configure_trust(trusting)
    trusting.set_alpn_protocols(["h2"])
    stream = trio.SSLStream(await server.connect(), trusting, server_hostname="localhost", https_compatible=True)
    client = Client(stream)
    await client.flush()
    return client


@asynccontextmanager
async def serving_http2(app: Any, **options: Any) -> AsyncIterator[Server]:
    async with serving(app, tls=context, **options) as server:
        yield server


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
