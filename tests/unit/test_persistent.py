"""Connections between services: cancelled at each point, they leave nothing; strange answers are no answers."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.abc import Instrument
from trio.lowlevel import Task

from ordermgmt.net import Address
from ordermgmt.net.exchange import KEEP_ALIVE, Interrupted, Message, TooLong, Unreachable
from ordermgmt.net.persistent import Persistent, open_persistent
from ordermgmt.net.tls_seam import ClientTls
from ordermgmt.net.tls_stream import TlsStream
from ordermgmt.pki import files as pki
from ordermgmt.security.tls import client_tls, load_credential, server_context
from ordermgmt.testing.clocks import VirtualClock
from ordermgmt.testing.memory import MemoryNetwork
from ordermgmt.testing.memory_stream import MemoryStream

HERE = Address("127.0.0.1", 1000)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = Message("GET", "/", (), b"", 1000)


class Counted(MemoryNetwork):
    """Remembers the client's end of each connection."""

    def __init__(self) -> None:
        super().__init__()
        self.wires: list[MemoryStream] = []

    async def connect(self, address: Address) -> MemoryStream:
        wire = await super().connect(address)
        self.wires.append(wire)
        return wire

    @property
    def open(self) -> int:
        return sum(not wire._closed for wire in self.wires)


class CancelAt(Instrument):
    """Cancels a scope as its task is about to make its n-th step."""

    def __init__(self, task: Task, scope: trio.CancelScope, step: int) -> None:
        self._task, self._scope, self._left = task, scope, step

    def before_task_step(self, task: Task) -> None:
        if task is self._task:
            self._left -= 1
            if not self._left:
                self._scope.cancel()


def sides(tmp_path: Path) -> tuple[ClientTls, ssl.SSLContext]:
    """The order service's way to inventory, and inventory's context."""
    clock, certs = VirtualClock(), tmp_path / "certs"
    certs.mkdir()
    pki.ensure(certs, ["order", "inventory"], ["localhost"], "ordermgmt.local", clock.now())
    ours, theirs = (load_credential(certs, name, "ordermgmt.local") for name in ("order", "inventory"))
    context = server_context(theirs, client_certificates=True, clock=clock)
    return client_tls(ours, expected="inventory", clock=clock), context


async def answer(stream: MemoryStream | TlsStream, *, pause: float = 0.0, text: bytes = OK) -> None:
    """Answer all requests, in two parts."""
    with suppress(trio.BrokenResourceError):
        while await stream.receive_some(65536):
            await stream.send_all(text[:20])
            await trio.sleep(pause)
            await stream.send_all(text[20:])


@asynccontextmanager
async def serving(
    network: MemoryNetwork,
    serve: Callable[[MemoryStream], Awaitable[None]],
    tls: ClientTls | None = None,
    limit: int = 10,
) -> AsyncIterator[Persistent]:
    binding = await network.bind(HERE)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, serve, [binding.open_listener()])
        async with open_persistent(network, lambda: tls, limit) as persistent:
            yield persistent
        nursery.cancel_scope.cancel()
    binding.close()


@pytest.mark.parametrize("warm", [False, True], ids=["new connection", "kept connection"])
async def test_a_cancellation_at_any_step_leaves_nothing(
    warm: bool,  # noqa: FBT001
    tmp_path: Path,
    autojump_clock: trio.abc.Clock,
) -> None:
    tls, context = sides(tmp_path)
    network, cancelled, step = Counted(), 0, 0

    async def serve(wire: MemoryStream) -> None:
        stream = TlsStream(wire, context, server_side=True)
        with suppress(trio.BrokenResourceError):
            await stream.do_handshake()
            await answer(stream)

    async with serving(network, serve, tls) as persistent:
        while cancelled == step:
            step += 1
            await persistent.close()
            if warm:
                await persistent.exchange(HERE, GET)
            scope = trio.CancelScope()
            instrument = CancelAt(trio.lowlevel.current_task(), scope, step)
            trio.lowlevel.add_instrument(instrument)
            with scope:
                assert (await persistent.exchange(HERE, GET)).content == b"ok"
            trio.lowlevel.remove_instrument(instrument)
            cancelled += scope.cancelled_caught
            assert network.open == len(persistent._idle)
            assert len(persistent._idle) == (0 if scope.cancelled_caught else 1)
            assert (await persistent.exchange(HERE, GET)).content == b"ok"
    assert cancelled >= 3
    assert network.open == 0


async def test_only_what_was_used_and_is_good_is_used_again(autojump_clock: trio.abc.Clock) -> None:
    network = Counted()
    async with serving(network, answer, limit=2) as persistent:
        for _ in range(3):
            await persistent.exchange(HERE, GET)
        assert len(network.wires) == 1
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(persistent.exchange, HERE, GET)
        assert network.open == 2  # no more are kept
        await trio.sleep(KEEP_ALIVE + 1)
        made = len(network.wires)
        await persistent.exchange(HERE, GET)
        assert (len(network.wires), network.open) == (made + 1, 1)


async def test_another_certificate_means_other_connections(autojump_clock: trio.abc.Clock) -> None:
    network = Counted()
    proofs: list[ClientTls | None] = [None]
    binding = await network.bind(HERE)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, answer, [binding.open_listener()])
        async with open_persistent(network, lambda: proofs[0], 10) as persistent:
            await persistent.exchange(HERE, GET)
            proofs[0] = Refusing()
            with pytest.raises(Unreachable):
                await persistent.exchange(HERE, GET)
            assert network.open == 0
        nursery.cancel_scope.cancel()


class Refusing:
    """A side that cannot speak to a server without TLS."""

    server_hostname = None

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def check(self, _: bytes | None) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000,
        b"nonsense, and more of it\r\n\r\n",
    ],
)
async def test_an_answer_that_makes_no_sense_is_none(text: bytes, autojump_clock: trio.abc.Clock) -> None:
    network = Counted()
    async with serving(network, lambda stream: answer(stream, text=text)) as persistent:
        with pytest.raises(Interrupted):
            await persistent.exchange(HERE, GET)
        assert network.open == 0


@pytest.mark.parametrize(
    ("text", "content", "kept"),
    [
        (OK, b"ok", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\no\r\n1\r\nk\r\n0\r\n\r\n", b"ok", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", b"", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (OK.replace(b"\r\n\r\n", b"\r\nConnection: Keep-Alive, Close\r\n\r\n"), b"ok", False),
        (OK.replace(b"1.1", b"1.0"), b"ok", False),
        (OK + b"HTTP/1.1 200 OK\r\n", b"ok", False),
    ],
)
async def test_answers(text: bytes, content: bytes, kept: bool, autojump_clock: trio.abc.Clock) -> None:  # noqa: FBT001
    network = Counted()
    async with serving(network, lambda stream: answer(stream, text=text)) as persistent:
        assert (await persistent.exchange(HERE, GET)).content == content
        assert network.open == int(kept)


async def test_what_ends_with_the_connection_and_what_is_too_long(autojump_clock: trio.abc.Clock) -> None:
    async def talk(stream: MemoryStream, size: int) -> None:
        await stream.receive_some()
        with suppress(trio.BrokenResourceError):
            await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * size)
        await stream.aclose()

    for size, whole in ((1000, True), (1001, False)):
        network = Counted()
        async with serving(network, partial(talk, size=size)) as persistent:
            if whole:
                assert len((await persistent.exchange(HERE, GET)).content) == size
            else:
                with pytest.raises(TooLong):
                    await persistent.exchange(HERE, GET)
            assert network.open == 0


@pytest.mark.parametrize(
    "message",
    [
        GET._replace(target="/ HTTP/1.1\r\nEvil: 1\r\n"),
        GET._replace(target="/a b"),
        GET._replace(headers=[("evil", "1\r\nmore: 2")]),
        GET._replace(headers=[("evil: 1\r\nmore", "2")]),
        GET._replace(headers=[("evil", "1\n2")]),
    ],
)
async def test_nothing_is_smuggled_into_a_request(message: Message, autojump_clock: trio.abc.Clock) -> None:
    network = Counted()
    async with serving(network, answer) as persistent:
        with pytest.raises(ValueError, match="this is no"):
            await persistent.exchange(HERE, message)
    assert network.wires == []
