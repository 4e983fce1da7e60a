"""The keys of an issuer, seen by the real order service: away, slow, without end, wrong, or attacked through us."""

from __future__ import annotations

import errno
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from trio.testing import wait_all_tasks_blocked

from ordermgmt.config import Config, IssuerConfig, OrderConfig
from ordermgmt.net import Address
from ordermgmt.net.outbound import Response
from ordermgmt.security import jwks
from ordermgmt.security.jwk_set import MAX_DOCUMENT
from ordermgmt.security.keys import SigningKey
from ordermgmt.testing.harness import RunningSystem, running_system
from ordermgmt.testing.memory import CAPACITY, MemoryNetwork, MemoryStream

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
            while await self._read_request(stream):
                self.fetches.append(trio.current_time())
                await self.answer(self, stream)
        except trio.BrokenResourceError:
            self.broken.append(trio.current_time())
        finally:
            wire.close()

    async def _read_request(self, stream: Tls) -> bool:
        if self.answer is be_away:
            return False
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            part = await stream.receive_some()
            if not part:
                return False
            head += part
        assert head.startswith(b"GET /keys?v=1 HTTP/1.1\r\n")
        return True

    def document(self) -> bytes:
        return json.dumps({"keys": [key.public_jwk() for key in self.keys]}).encode()


async def send(stream: Tls, body: bytes, status: str = "200 OK") -> None:
    await stream.send_all(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)


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
async def shop(folder: Path, answer: Answer = publish) -> AsyncIterator[Shop]:
    """Run the order service alone; STS and inventory service are nowhere."""
    server = KeyServer(folder)
    server.answer = answer
    issuer = IssuerConfig(
        issuer=ISSUER, audience="orders", jwks_url="https://id.test/keys?v=1", ca_file=str(folder / "id-ca.pem")
    )
    config = Config(order=OrderConfig(issuers=(issuer,), trust_sts=False))
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        async with running_system(folder, config=config, services=["order"], network=server.network) as system:
            running = Shop(system, server)
            yield running
            running.check_never_restarted()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_an_issuer_that_is_not_well_at_the_start_is_believed_as_soon_as_it_is(
    fault: Answer, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path, fault) as running:
        token = running.token()
        for _ in range(3):
            with trio.fail_after(jwks.WAIT + 1):
                answer = await running.list_orders(token)
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            assert (await running.system.request("order", "GET", "/order/1")).status == 404
        running.server.answer = publish
        await trio.sleep(jwks.COOL_DOWN)
        assert await running.status(token) == 200
        assert await running.status(running.token(STRANGER, KEY.kid)) == 401


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_known_keys_are_used_for_ten_more_minutes_and_not_a_second_longer(
    fault: Answer, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as running:
        token = running.token()
        assert await running.status(token) == 200
        (fetched,) = running.server.fetches
        running.server.answer = fault
        last_refresh = fetched + 300
        await trio.sleep_until(last_refresh + 599)
        assert await running.status(token) == 200
        assert await running.status(running.token(sub="dave")) == 200
        assert await running.status(running.token(STRANGER, KEY.kid)) == 401
        await trio.sleep_until(last_refresh + 601)
        assert await running.status(token) == 503
        assert await running.status(running.token(sub="dave")) == 503
        running.server.answer = publish
        await trio.sleep(jwks.LAST_RETRY + jwks.FETCH_TIMEOUT)
        assert await running.status(token) == 200


async def test_a_key_set_without_end_is_read_up_to_its_bound_and_asked_for_once(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path, pour) as running:
        await trio.sleep(jwks.FIRST_RETRY / 2)
        server = running.server
        assert len(server.fetches) == len(server.broken) == 1
        # What was sent beyond the bound is what fits between us: one buffer under way, and one read.
        assert MAX_DOCUMENT - CAPACITY < server.sent < MAX_DOCUMENT + 3 * CAPACITY


async def test_a_key_set_that_drips_in_has_one_deadline_as_a_whole(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path, drip) as running:
        await trio.sleep(60)
        server = running.server
        lasted = [end - begin for begin, end in zip(server.fetches, server.broken, strict=False)]
        # The server notices with its next byte.
        assert lasted
        assert all(jwks.FETCH_TIMEOUT <= seconds <= jwks.FETCH_TIMEOUT + 1 for seconds in lasted)


async def test_a_rotated_key_is_believed_at_once_and_a_withdrawn_one_takes_its_tokens_along(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as running:
        old = running.token()
        assert await running.status(old) == 200
        await trio.sleep(60)
        running.server.keys = [NEXT_KEY]
        assert await running.status(old) == 200
        assert await running.status(running.token(NEXT_KEY)) == 200
        assert len(running.server.fetches) == 2
        assert await running.status(old) == 401
        await trio.sleep(jwks.COOL_DOWN)
        running.server.keys = [NEXT_KEY, KEY]
        assert await running.status(old) == 200


async def test_a_key_that_vanishes_kills_the_tokens_that_are_remembered_at_the_next_refresh(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as running:
        token = running.token()
        assert await running.status(token) == 200
        running.server.keys = []
        await trio.sleep_until(running.server.fetches[0] + jwks.REFRESH - 1)
        assert await running.status(token) == 200
        await trio.sleep(2)
        assert await running.status(token) == 401


async def test_a_thousand_strange_kids_make_one_fetch_per_cool_down_and_hide_no_new_key(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as running:
        server = running.server
        seen: list[int] = []

        async def flood() -> None:
            for number in range(1000):
                seen.append(await running.status(running.token(STRANGER, f"strange-{number}")))
                await trio.sleep(0.02)

        await trio.sleep(10)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            await trio.sleep(8)
            server.keys = [KEY, NEXT_KEY]
            published = trio.current_time()
            while await running.status(running.token(NEXT_KEY)) == 401:  # noqa: ASYNC110 - a client that tries again
                await trio.sleep(0.1)
            assert trio.current_time() <= published + jwks.COOL_DOWN
            assert await running.status(running.token()) == 200
        assert seen == [401] * 1000
        forced = [fetch for fetch in server.fetches if fetch >= began]
        assert all(later - earlier >= jwks.COOL_DOWN for earlier, later in pairwise(forced))
        assert len(forced) <= 1 + 20 / jwks.COOL_DOWN
        assert any(published <= fetch <= published + jwks.COOL_DOWN for fetch in forced)


async def test_whoever_asked_for_a_key_first_may_hang_up(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as running:
        server = running.server
        assert await running.status(running.token()) == 200
        await trio.sleep(10)
        server.keys, server.answer = [KEY, NEXT_KEY], publish_late
        token = running.token(NEXT_KEY)
        first = await running.system.open_stream("order")
        await first.send_all(f"GET /order HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n".encode())
        await wait_all_tasks_blocked()
        assert len(server.fetches) == 2
        seen: list[int] = []

        async def ask(number: int) -> None:
            seen.append(await running.status(running.token(NEXT_KEY, sub=f"user-{number}")))

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(ask, number)
            await wait_all_tasks_blocked()
            await trio.aclose_forcefully(first)
        assert seen == [200] * 20
        assert len(server.fetches) == 2


async def test_the_sts_may_come_later_and_go_for_a_while(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    network = MemoryNetwork()
    streams: list[MemoryStream] = []
    is_away = True

    def connect(address: Address, stream: MemoryStream) -> MemoryStream:
        # The services name each other by address; the test's own clients say localhost, and always get through.
        if address in (Address("127.0.0.1", 9445), Address("127.0.0.1", 9446)):
            if is_away:
                raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
            streams.append(stream)
        return stream

    network.on_connect = connect
    order = {"name": "One", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}
    async with running_system(tmp_path, network=network) as system:

        async def post(token: str) -> int:
            return (await system.request("order", "POST", "/order", token=token, json=order)).status

        assert await post(await system.order_token("alice-app")) == 503
        await trio.sleep(120)
        assert await post(await system.order_token("alice-app")) == 503
        is_away = False
        await trio.sleep(jwks.COOL_DOWN)
        assert await post(await system.order_token("alice-app")) == 201
        assert streams
        is_away = True
        for stream in streams:
            stream.reset()
        await trio.sleep(200)
        # Keys and the bound token are at hand.
        assert await post(await system.order_token("alice-app")) == 201
        assert system.suite.board.snapshot()["order"].restarts == 0
