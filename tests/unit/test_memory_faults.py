"""Faults of the memory network do what they say, for as long as they last."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from ordermgmt.net import Address
from ordermgmt.testing.faults import Direction, cut, delay, lose, refuse, stall
from ordermgmt.testing.memory import MemoryNetwork
from ordermgmt.testing.memory_stream import MemoryStream

HERE, THERE = Address("127.0.0.1", 1), Address("127.0.0.1", 2)
BOTH = pytest.mark.parametrize("direction", ["requests", "answers"])


@asynccontextmanager
async def connected(
    network: MemoryNetwork, direction: Direction = "requests"
) -> AsyncIterator[tuple[MemoryStream, MemoryStream]]:
    """Connect to HERE; return the end that sends in this direction and the one that receives."""
    binding = await network.bind(HERE)
    async with binding.open_listener() as listener:
        client = await network.connect(Address("localhost", 1))
        server = await listener.accept()
        assert isinstance(server, MemoryStream)
        async with client, server:
            yield (client, server) if direction == "requests" else (server, client)
    binding.close()


@BOTH
async def test_a_delay_is_that_of_what_is_sent_meanwhile(direction: Direction, autojump_clock: trio.abc.Clock) -> None:
    network = MemoryNetwork()
    async with connected(network, direction) as (sender, receiver):
        start = trio.current_time()
        with delay(network, HERE, direction, 5.0):
            await sender.send_all(b"slow")
            assert not network.is_readable(receiver)
        await trio.sleep(2)
        await sender.send_all(b"fast")  # and yet it overtakes nothing
        assert await receiver.receive_some(2) == b"sl"
        assert trio.current_time() == start + 5
        assert await receiver.receive_some() == b"owfast"
        await receiver.send_all(b"back")
        assert await sender.receive_some() == b"back"
        await sender.send_eof()
        assert await receiver.receive_some() == b""
        assert trio.current_time() == start + 5


@BOTH
async def test_an_end_waits_for_the_bytes_before_it(direction: Direction, autojump_clock: trio.abc.Clock) -> None:
    network = MemoryNetwork()
    async with connected(network, direction) as (sender, receiver):
        with delay(network, HERE, direction, 5.0):
            await sender.send_all(b"late")
        await sender.aclose()
        await trio.sleep(1)
        assert await receiver.receive_some() == b"late"
        assert await receiver.receive_some() == b""
        assert trio.current_time() == 5


@BOTH
async def test_what_is_stalled_arrives_afterwards(direction: Direction, autojump_clock: trio.abc.Clock) -> None:
    network = MemoryNetwork()
    async with connected(network, direction) as (sender, receiver):
        await sender.send_all(b"one")
        with stall(network, HERE, direction):
            await sender.send_all(b"two")
            await sender.send_eof()
            assert not network.is_readable(receiver)
            with trio.move_on_after(60) as waited:
                await receiver.receive_some()
            assert waited.cancelled_caught
            await receiver.send_all(b"back")
            assert await sender.receive_some() == b"back"
        assert await receiver.receive_some(3) == b"one"
        assert await receiver.receive_some() == b"two"
        assert await receiver.receive_some() == b""


async def test_whoever_waits_is_woken_when_a_stall_ends(autojump_clock: trio.abc.Clock) -> None:
    network = MemoryNetwork()
    async with connected(network) as (sender, receiver), trio.open_nursery() as nursery:
        with stall(network, HERE, "requests"):
            await sender.send_all(b"held")
            nursery.start_soon(receiver.receive_some)
            await trio.sleep(1)
    assert trio.current_time() == 1


@BOTH
async def test_what_is_lost_never_arrives(direction: Direction, autojump_clock: trio.abc.Clock) -> None:
    network = MemoryNetwork()
    async with connected(network, direction) as (sender, receiver):
        with lose(network, HERE, direction):
            await sender.send_all(b"lost" * 100_000)  # and nobody is in the way of the sender
            with trio.move_on_after(60) as waited:
                await receiver.receive_some()
            assert waited.cancelled_caught
        with pytest.raises(trio.BrokenResourceError):
            await receiver.receive_some()


async def test_a_cut_is_seen_at_both_ends_and_new_connections_are_well(autojump_clock: trio.abc.Clock) -> None:
    network = MemoryNetwork()
    async with connected(network) as (sender, receiver):
        await sender.send_all(b"under way")
        cut(network, THERE)
        cut(network, HERE)
        with pytest.raises(trio.BrokenResourceError):
            await receiver.receive_some()
        with pytest.raises(trio.BrokenResourceError):
            await sender.send_all(b"more")
        async with await network.connect(HERE) as again:
            await again.send_all(b"well")


async def test_refused_are_new_connections_only(autojump_clock: trio.abc.Clock) -> None:
    network = MemoryNetwork()
    async with connected(network) as (sender, receiver):
        with refuse(network, HERE):
            with pytest.raises(ConnectionRefusedError):
                await network.connect(HERE)
            await sender.send_all(b"on")
            assert await receiver.receive_some() == b"on"
        async with await network.connect(HERE):
            pass
