"""Our stream over a TCP connection, on real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from ordermgmt.net import Address, TcpNetwork
from ordermgmt.net.tcp_stream import TcpStream

MUCH = bytes(range(256)) * 40_000


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[TcpStream, TcpStream]]:
    network = TcpNetwork()
    binding = await network.bind(Address("127.0.0.1", 0))
    try:
        async with binding.open_listener() as listener, await network.connect(binding.address) as near:
            far = await listener.accept()
            assert isinstance(far, TcpStream)
            async with far:
                yield near, far
    finally:
        binding.close()


async def read(stream: TcpStream) -> bytes:
    received = b""
    while data := await stream.receive_some():
        received += data
    return received


async def test_what_does_not_fit_waits_for_the_reader_and_arrives_whole() -> None:
    received = []
    with trio.fail_after(10):
        async with pair() as (near, far), trio.open_nursery() as nursery:

            @nursery.start_soon
            async def reader() -> None:
                received.append(await read(far))

            await near.send_all(MUCH)
            await near.send_eof()
            await near.send_eof()
    assert received == [MUCH]


async def test_a_send_that_waits_and_a_receive_can_be_cancelled() -> None:
    async with pair() as (near, far):
        with trio.move_on_after(0.05) as sending:
            while True:
                await near.send_all(MUCH)
        with trio.move_on_after(0) as receiving:
            await near.receive_some()
        assert sending.cancelled_caught
        assert receiving.cancelled_caught
        assert await far.receive_some(10) == MUCH[:10]


async def test_who_is_cancelled_sends_nothing() -> None:
    async with pair() as (near, far):
        with trio.CancelScope() as scope:
            scope.cancel()
            await near.send_all(b"a")
        await near.send_eof()
        assert await read(far) == b""


async def test_a_reader_without_end_lets_others_have_their_turn() -> None:
    turns = 0
    async with pair() as (near, far), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        await near.send_all(bytes(1000))
        for _ in range(1000):
            assert await far.receive_some(1)
        nursery.cancel_scope.cancel()
    assert turns > 900


async def test_a_stream_that_was_closed_wakes_who_waits_and_refuses_more() -> None:
    async with pair() as (near, _), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def waits() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await near.receive_some()

        await trio.testing.wait_all_tasks_blocked()
        await near.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await near.send_all(b"a")
        with pytest.raises(trio.ClosedResourceError):
            await near.receive_some()


async def test_a_connection_that_was_reset_is_broken() -> None:
    async with pair() as (near, far):
        await far.send_all(b"unread")
        await near.send_all(b"unread")
        await trio.testing.wait_all_tasks_blocked()
        await far.aclose()  # with unread data: a reset
        with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
            while await near.receive_some():
                pass
        with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
            while True:
                await near.send_all(b"a")
                await trio.sleep(0.01)
