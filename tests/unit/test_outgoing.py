"""What waits to be sent is bounded, and leaves in few writes."""

from __future__ import annotations

import pytest
import trio
import trio.lowlevel

from ordermgmt.net.outgoing import HIGH_WATER, SEND_SIZE, Outgoing


class Wire:
    """Takes writes while it is open."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.open = trio.Event()
        self.broken = 0

    async def send_all(self, data: bytes) -> None:
        await self.open.wait()
        self.writes.append(data)

    def breaks(self) -> None:
        self.broken += 1


async def test_what_is_put_at_once_leaves_in_one_write(autojump_clock: trio.abc.Clock) -> None:
    wire = Wire()
    wire.open.set()
    outgoing = Outgoing(wire.send_all, 30, wire.breaks)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outgoing.run)
        for part in (b"head", b"body"):
            await trio.lowlevel.checkpoint()
            outgoing.put(part)
            outgoing.put(b"-")
        outgoing.finish()
        outgoing.put(b"too late")
    assert b"".join(wire.writes) == b"head-body-"
    assert len(wire.writes) <= 2


async def test_whoever_puts_too_much_waits_for_the_client(autojump_clock: trio.abc.Clock) -> None:
    wire = Wire()
    outgoing = Outgoing(wire.send_all, 30, wire.breaks)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outgoing.run)
        outgoing.put(b"x" * (SEND_SIZE + HIGH_WATER))
        await trio.sleep(1)  # one write is under way
        with trio.fail_after(1):
            await outgoing.room()
        outgoing.put(b"x")
        with trio.move_on_after(20) as scope:
            await outgoing.room()
        assert scope.cancelled_caught
        wire.open.set()
        with trio.fail_after(1):
            await outgoing.room()
        outgoing.finish()
    assert not wire.broken


async def test_a_client_that_takes_nothing_is_given_up_and_nobody_waits(autojump_clock: trio.abc.Clock) -> None:
    wire = Wire()
    outgoing = Outgoing(wire.send_all, 30, wire.breaks)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outgoing.run)
        outgoing.put(b"x" * 10 * SEND_SIZE)
        await trio.lowlevel.checkpoint()
        await outgoing.room()
        outgoing.put(b"dropped")
    assert trio.current_time() - start == pytest.approx(30)
    assert wire.broken == 1


async def test_nobody_waits_for_a_connection_that_is_cut(autojump_clock: trio.abc.Clock) -> None:
    outgoing = Outgoing(Wire().send_all, 30, lambda: None)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(10):
                nursery.start_soon(outgoing_room_soon, outgoing)
                await outgoing.run()
    outgoing.put(b"dropped")
    await outgoing.room()


async def outgoing_room_soon(outgoing: Outgoing) -> None:
    outgoing.put(b"x" * (SEND_SIZE + HIGH_WATER + 1))
    await trio.lowlevel.checkpoint()
    await outgoing.room()


class PromptWire(Wire):
    """Takes so many bytes at once, and the rest when it is written."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.prompt: list[bytes] = []
        self.left = b""

    def send_now(self, data: bytes) -> bool:
        if self.room < 0:
            raise trio.BrokenResourceError
        self.prompt.append(data[: self.room])
        self.left = data[self.room :]
        return not self.left

    async def send_all(self, data: bytes) -> None:
        await self.open.wait()
        self.writes.append(self.left + data)
        self.left = b""


async def test_an_answer_leaves_at_once_and_what_is_left_before_what_follows(autojump_clock: trio.abc.Clock) -> None:
    wire = PromptWire(10)
    outgoing = Outgoing(wire.send_all, 30, wire.breaks, wire.send_now)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outgoing.run)
        outgoing.send(b"short")
        assert wire.prompt == [b"short"]
        outgoing.send(b"an answer that is long")
        outgoing.send(b"-next-")
        await trio.sleep(1)  # a write is under way
        outgoing.send(b"last")
        wire.open.set()
        outgoing.finish()
    assert b"".join([*wire.prompt, *wire.writes]) == b"shortan answer that is long-next-last"
    assert len(wire.prompt) == 2
    assert not wire.broken


async def test_what_is_left_of_an_answer_has_its_time_too(autojump_clock: trio.abc.Clock) -> None:
    wire = PromptWire(1)
    outgoing = Outgoing(wire.send_all, 30, wire.breaks, wire.send_now)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outgoing.run)
        outgoing.send(b"long")
    assert trio.current_time() - start == pytest.approx(30)
    assert wire.broken == 1


async def test_an_answer_to_nobody_ends_it(autojump_clock: trio.abc.Clock) -> None:
    wire = PromptWire(-1)
    outgoing = Outgoing(wire.send_all, 30, wire.breaks, wire.send_now)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outgoing.run)
        await trio.sleep(1)
        outgoing.send(b"short")
    assert wire.broken == 1
    assert not wire.writes
