"""A key server on the memory network that can misbehave, and the order service that trusts it."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
import trustme

from ordermgmt.config import Config, IssuerConfig, OrderConfig
from ordermgmt.net import Address
from ordermgmt.net.outbound import Response
from ordermgmt.security.keys import SigningKey
from ordermgmt.testing.harness import RunningSystem, running_system
from ordermgmt.testing.memory import MemoryNetwork
from ordermgmt.testing.memory_stream import MemoryStream

ISSUER = "https://id.test"
ADDRESS = Address("id.test", 443)
KEY, NEXT_KEY, STRANGER = (SigningKey.generate("ES256") for _ in range(3))
RECORD = 16 * 1024
Tls = trio.SSLStream[MemoryStream]
Answer = Callable[["KeyServer", Tls], Awaitable[None]]


class KeyServer:
    """Serves a JWK set on the memory network, as `answer` does it."""

    def __init__(self, folder: Path) -> None:
        self.network = MemoryNetwork()
        self.keys = [KEY]
        self.answer: Answer = publish
        self.tell: Callable[[Tls, str], Awaitable[None]] = no_stream
        self.fetches: list[float] = []
        self.sent = 0
        self.broken: list[float] = []
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "id-ca.pem")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("id.test").configure_cert(self._context)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        binding = await self.network.bind(ADDRESS)
        try:
            task_status.started()
            await trio.serve_listeners(self._handle, [binding.open_listener()])
        finally:
            binding.close()

    async def _handle(self, wire: MemoryStream) -> None:
        stream = trio.SSLStream(wire, self._context, server_side=True, https_compatible=True)
        try:
            while target := await self._read_request(stream):
                if target.startswith("/revocations?"):
                    await self.tell(stream, target)
                else:
                    assert target == "/keys?v=1"
                    self.fetches.append(trio.current_time())
                    await self.answer(self, stream)
        except trio.BrokenResourceError:
            self.broken.append(trio.current_time())
        finally:
            wire.close()

    async def _read_request(self, stream: Tls) -> str:
        if self.answer is be_away:
            return ""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            part = await stream.receive_some()
            if not part:
                return ""
            head += part
        method, target, _ = head.decode().split(" ", 2)
        assert method == "GET"
        return target

    def document(self) -> bytes:
        return json.dumps({"keys": [key.public_jwk() for key in self.keys]}).encode()


async def send(stream: Tls, body: bytes, status: str = "200 OK") -> None:
    await stream.send_all(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)


async def no_stream(stream: Tls, target: str) -> None:
    await send(stream, b"", "404 Not Found")


async def publish(server: KeyServer, stream: Tls) -> None:
    await send(stream, server.document())


async def publish_late(server: KeyServer, stream: Tls) -> None:
    document = server.document()
    await trio.sleep(3)
    await send(stream, document)


async def be_away(server: KeyServer, stream: Tls) -> None:
    """Hang up before the handshake. See `_read_request`."""
    await stream.transport_stream.aclose()


async def say_html(server: KeyServer, stream: Tls) -> None:
    await send(stream, b"<html>It works!</html>")


async def cut_short(server: KeyServer, stream: Tls) -> None:
    document = server.document()
    await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(document) + document[:-1])
    raise trio.BrokenResourceError


async def fail(server: KeyServer, stream: Tls) -> None:
    await send(stream, server.document(), "500 Internal Server Error")


async def redirect(server: KeyServer, stream: Tls) -> None:
    document = server.document()
    head = "HTTP/1.1 302 Found\r\nlocation: https://id.test/keys?v=1\r\n"
    await stream.send_all(f"{head}content-length: {len(document)}\r\n\r\n".encode() + document)


async def pour(server: KeyServer, stream: Tls) -> None:
    """Send good keys and then spaces without end, as fast as they are taken."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n" + server.document())
    while True:
        await stream.send_all(b" " * RECORD)
        server.sent += RECORD


async def drip(server: KeyServer, stream: Tls) -> None:
    """Send a byte a second: no single read is slow."""
    document = server.document()
    await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(document))
    for byte in document:
        await stream.send_all(bytes([byte]))
        await trio.sleep(1)


FAULTS = [be_away, say_html, cut_short, fail, redirect, pour, drip]


class Shop:
    """The order service, which trusts the issuer, and its users."""

    def __init__(self, system: RunningSystem, server: KeyServer) -> None:
        self.system = system
        self.server = server

    def token(self, key: SigningKey = KEY, kid: str | None = None, **changes: Any) -> str:
        now = self.system.runtime.clock.now()
        claims = {"iss": ISSUER, "sub": "carol", "aud": "orders", "iat": now, "exp": now + 10_000} | changes
        original, key.kid = key.kid, kid or key.kid
        try:
            return key.sign(claims, "at+jwt")
        finally:
            key.kid = original

    async def list_orders(self, token: str) -> Response:
        return await self.system.request("order", "GET", "/order", token=token)

    async def status(self, token: str) -> int:
        return (await self.list_orders(token)).status

    def check_never_restarted(self) -> None:
        assert self.system.suite.board.snapshot()["order"].restarts == 0


@asynccontextmanager
async def shop(
    folder: Path, answer: Answer = publish, tell: Callable[[Tls, str], Awaitable[None]] | None = None
) -> AsyncIterator[Shop]:
    """Run the order service alone; STS and inventory service are nowhere. With `tell` the issuer has a stream."""
    server = KeyServer(folder)
    server.answer = answer
    server.tell = tell or no_stream
    issuer = IssuerConfig(
        issuer=ISSUER,
        audience="orders",
        jwks_url="https://id.test/keys?v=1",
        ca_file=str(folder / "id-ca.pem"),
        revocations_url="https://id.test/revocations?v=1" if tell else "",
    )
    config = Config(order=OrderConfig(issuers=(issuer,), trust_sts=False))
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        async with running_system(folder, config=config, services=["order"], network=server.network) as system:
            running = Shop(system, server)
            yield running
            running.check_never_restarted()
        nursery.cancel_scope.cancel()
