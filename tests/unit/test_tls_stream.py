"""TLS for one reader and one writer: whole, in order, and broken when it has to be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from ordermgmt.net.tls_stream import TlsStream
from ordermgmt.pki import files as pki
from ordermgmt.security.tls import client_tls, load_credential, server_context
from ordermgmt.testing.clocks import VirtualClock
from ordermgmt.testing.memory_stream import MemoryStream, memory_stream_pair

DATA = bytes(range(256)) * 4000


@asynccontextmanager
async def ends(folder: Path) -> AsyncIterator[tuple[TlsStream, TlsStream, MemoryStream]]:
    """A client's and a server's end after the handshake, and what carries the client's."""
    clock, certs = VirtualClock(), folder / "certs"
    certs.mkdir()
    pki.ensure(certs, ["order", "inventory"], ["localhost"], "ordermgmt.local", clock.now())
    ours, theirs = (load_credential(certs, name, "ordermgmt.local") for name in ("order", "inventory"))
    context = client_tls(ours, expected="inventory", clock=clock).context()
    wire, other = memory_stream_pair()
    client = TlsStream(wire, context, server_hostname="localhost")
    server = TlsStream(other, server_context(theirs, client_certificates=True, clock=clock), server_side=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        await server.do_handshake()
    yield client, server, wire
    await trio.aclose_forcefully(wire)
    await trio.aclose_forcefully(other)


async def read(stream: TlsStream, size: int) -> bytes:
    received = b""
    while len(received) < size and (data := await stream.receive_some()):
        received += data
    return received


async def test_what_both_ends_send_at_once_arrives(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with ends(tmp_path) as (client, server, _):
        received: dict[str, bytes] = {}

        async def take(name: str, stream: TlsStream) -> None:
            received[name] = await read(stream, len(DATA))

        async with trio.open_nursery() as nursery:
            for name, stream in (("client", client), ("server", server)):
                nursery.start_soon(stream.send_all, DATA)
                nursery.start_soon(take, name, stream)
        assert received == {"client": DATA, "server": DATA}
        assert client.getpeercert(binary_form=True) != server.getpeercert(binary_form=True)


@pytest.mark.parametrize("goodbye", [True, False])
async def test_the_end_is_the_end(goodbye: bool, tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:  # noqa: FBT001
    async with ends(tmp_path) as (client, server, wire):
        await client.send_all(b"last")
        if goodbye:
            await client.aclose()
        else:
            await trio.aclose_forcefully(wire)
        assert await read(server, 100) == b"last"
        assert await server.receive_some() == b""
        with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
            await client.send_all(b"more")


async def test_a_send_that_is_cut_short_breaks_the_stream(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with ends(tmp_path) as (client, _, _):
        with trio.move_on_after(1) as scope:
            await client.send_all(DATA)  # nobody reads
        assert scope.cancelled_caught
        for use in (client.send_all(b"more"), client.receive_some()):
            with pytest.raises(trio.BrokenResourceError):
                await use


async def test_a_receive_may_be_cancelled(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with ends(tmp_path) as (client, server, _):
        with trio.move_on_after(1) as scope:
            await server.receive_some()
        assert scope.cancelled_caught
        await client.send_all(b"still there")
        assert await server.receive_some() == b"still there"


async def test_what_is_no_tls_breaks_the_stream(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with ends(tmp_path) as (_, server, wire):
        await wire.send_all(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(trio.BrokenResourceError):
            await server.receive_some()


async def test_nothing_is_said_before_the_handshake(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with ends(tmp_path) as (client, _, _):
        fresh = TlsStream(memory_stream_pair()[0], client._tls.context)
        with pytest.raises(trio.BrokenResourceError):
            await fresh.send_all(b"too early")


async def test_what_is_sent_at_once_and_does_not_fit_goes_first_with_the_next(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with ends(tmp_path) as (client, server, _):
        parts = [bytes([number]) * 10_000 for number in range(12)]
        whole = [client.send_now(part) for part in parts]
        assert whole[0]
        assert not whole[-1]
        received = []
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def reader() -> None:
                received.append(await read(server, 12 * 10_000 + len(DATA)))

            await client.send_all(DATA)
        assert received == [b"".join(parts) + DATA]


async def test_what_is_sent_at_once_to_nobody_breaks_the_stream(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with ends(tmp_path) as (client, _, wire):
        wire.reset()
        for _ in range(2):
            with pytest.raises(trio.BrokenResourceError):
                client.send_now(b"a")
