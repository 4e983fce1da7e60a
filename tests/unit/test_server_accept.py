"""Accepting goes on, whatever the system, the certificate or the client does."""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing
import trustme

from ordermgmt.net.limits import Limits
from ordermgmt.net.server import ACCEPT_PAUSE, serve
from ordermgmt.testing.memory_stream import MemoryStream, memory_stream_pair
from tests.unit.server_setup import get, read_answer, read_to_end, sample_app, serving


class Failing(trio.abc.Listener[trio.abc.HalfCloseableStream]):
    """Fails as told, then accepts what it is given."""

    def __init__(self, errnos: list[int]) -> None:
        self._errnos = errnos
        self.send, self._receive = trio.open_memory_channel[MemoryStream](1)

    async def accept(self) -> MemoryStream:
        await trio.lowlevel.checkpoint()
        if self._errnos:
            code = self._errnos.pop(0)
            raise OSError(code, os.strerror(code))
        return await self._receive.receive()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    "code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ECONNABORTED, errno.EPERM]
)
async def test_an_accept_that_fails_is_tried_again(code: int, autojump_clock: trio.abc.Clock) -> None:
    listener = Failing([code] * 3)
    drain = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: serve(sample_app(), listener, drain=drain))
        start = trio.current_time()
        client, server = memory_stream_pair()
        await listener.send.send(server)
        await client.send_all(get("/hello", "Connection: close"))
        assert (await read_to_end(client)).endswith(b"hello")
        assert trio.current_time() - start == pytest.approx(3 * ACCEPT_PAUSE, abs=0.05)
        drain.set()


async def test_want_of_files_ends_an_idle_connection(autojump_clock: trio.abc.Clock) -> None:
    errnos: list[int] = []
    listener = Failing(errnos)
    drain = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: serve(sample_app(), listener, drain=drain))
        idle, server = memory_stream_pair()
        await listener.send.send(server)
        await idle.send_all(get("/hello"))
        await read_answer(idle)
        start = trio.current_time()
        errnos.append(errno.EMFILE)
        for _ in range(2):  # the accept under way, and the one after the failure
            client, server = memory_stream_pair()
            await listener.send.send(server)
            await client.send_all(get("/hello", "Connection: close"))
            assert (await read_to_end(client)).endswith(b"hello")
        assert await read_to_end(idle) == b""
        assert trio.current_time() - start < 1
        drain.set()


AUTHORITY = trustme.CA()


def context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost").configure_cert(made)
    return made


def client_stream(stream: MemoryStream) -> trio.SSLStream[MemoryStream]:
    trusting = ssl.create_default_context()
    AUTHORITY.configure_trust(trusting)
    return trio.SSLStream(stream, trusting, server_hostname="localhost", https_compatible=True)


async def say_hello(stream: Any) -> bytes:
    await stream.send_all(get("/hello"))
    return await read_answer(stream)


async def test_a_new_context_is_for_new_connections_and_old_ones_go_on(autojump_clock: trio.abc.Clock) -> None:
    current = [context()]
    async with serving(sample_app(), tls=lambda: current[0]) as server:
        old = client_stream(await server.connect())
        assert (await say_hello(old)).endswith(b"hello")
        current[0] = context()
        new = client_stream(await server.connect())
        assert (await say_hello(new)).endswith(b"hello")
        assert (await say_hello(old)).endswith(b"hello")
        assert old.getpeercert(binary_form=True) != new.getpeercert(binary_form=True)


async def not_tls(stream: MemoryStream) -> None:
    await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")


async def gone(stream: MemoryStream) -> None:
    stream.reset()


async def half_a_handshake(stream: MemoryStream) -> None:
    await stream.send_all(b"\x16\x03\x01\x00\x05")
    await stream.aclose()


async def untrusting(stream: MemoryStream) -> None:
    with pytest.raises(trio.BrokenResourceError):
        await trio.SSLStream(stream, ssl.create_default_context(), server_hostname="localhost").do_handshake()


@pytest.mark.parametrize("attack", [not_tls, gone, half_a_handshake, untrusting])
async def test_a_failed_handshake_ends_its_own_connection(
    attack: Callable[..., Any], autojump_clock: trio.abc.Clock
) -> None:
    async with serving(sample_app(), tls=context) as server:
        await attack(await server.connect())
        assert (await say_hello(client_stream(await server.connect()))).endswith(b"hello")


async def test_a_handshake_that_is_not_made_is_cut(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app(), tls=context) as server:
        start = trio.current_time()
        stream = await server.connect()
        assert await read_to_end(stream) == b""
        assert trio.current_time() - start == pytest.approx(10, abs=0.1)


async def test_a_context_that_cannot_be_had_ends_its_own_connection(autojump_clock: trio.abc.Clock) -> None:
    contexts = [None, context()]

    def next_context() -> ssl.SSLContext:
        found = contexts.pop(0)
        if found is None:
            msg = "no context"
            raise RuntimeError(msg)
        return found

    async with serving(sample_app(), tls=next_context) as server:
        assert await read_to_end(await server.connect()) == b""
        assert (await say_hello(client_stream(await server.connect()))).endswith(b"hello")


async def test_a_drain_in_the_middle_of_a_handshake_does_not_wait_for_it(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app(), tls=context) as server:
        await server.connect()
        await trio.sleep(1)
        server.drain.set()
        with trio.fail_after(1):
            await server.finished.wait()


async def test_a_client_that_comes_as_a_drain_begins_is_not_forgotten(autojump_clock: trio.abc.Clock) -> None:
    for _ in range(20):  # which of the two comes first is the scheduler's choice
        async with serving(sample_app(), limits=Limits(connections=1), drain_timeout=1) as server:
            await server.connect()
            await trio.testing.wait_all_tasks_blocked()
            late = await server.connect()
            server.drain.set()
            with trio.fail_after(10):
                assert await read_to_end(late) == b""
