"""A connection of the memory network: two ends, and a bounded pipe for each direction, on which faults may lie."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf

import trio

__all__ = ["CAPACITY", "MemoryStream", "Way", "memory_stream_pair"]

CAPACITY = 65536
"""Bytes that are under way in one direction, as in a socket's buffers: a writer beyond them waits."""


@dataclass(slots=True)
class Way:
    """How bytes travel in one direction: at once, unless a fault says otherwise. `faults` sets these."""

    delay: float = 0.0
    """Seconds that bytes take that are sent now."""
    stalled: bool = False
    """Whether nothing arrives, neither bytes nor an end."""
    lossy: bool = False
    """Whether bytes that are sent now never arrive."""


class _Pipe:
    """One direction: bytes, an end, and whoever waits for either."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.buffer = bytearray()
        self.ended = False
        self.broken = False
        self.changed = trio.lowlevel.ParkingLot()
        self._late: deque[tuple[float, int]] = deque()

    def wake(self) -> None:
        self.changed.unpark_all()

    def put(self, data: memoryview) -> None:
        if self.way.lossy:
            return
        self.buffer += data
        if self.way.delay or self._late:  # nothing overtakes
            self._late.append((trio.current_time() + self.way.delay, len(data)))

    def take(self, max_bytes: int | None) -> bytes:
        """Return what has arrived, b"" if nothing has."""
        data = bytes(self.buffer[: self._arrived()][:max_bytes])
        del self.buffer[: len(data)]
        return data

    @property
    def readable(self) -> bool:
        """Whether there are bytes or an end to be had."""
        return self.broken or bool(self._arrived()) or self.at_end

    @property
    def at_end(self) -> bool:
        return self.ended and not self.buffer and not self.way.stalled

    async def park(self) -> None:
        """Wait until something has changed."""
        with trio.move_on_at(self._late[0][0] if self._late else inf):
            await self.changed.park()

    def _arrived(self) -> int:
        if self.way.stalled:
            return 0
        while self._late and self._late[0][0] <= trio.current_time():
            self._late.popleft()
        return len(self.buffer) - sum(length for _, length in self._late)


class MemoryStream(trio.abc.HalfCloseableStream):
    """One end of a connection. It behaves as a TCP stream does, resets included."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._closed = False
        self._sending = trio.Lock()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send, waiting while `CAPACITY` bytes are unread. Raises BrokenResourceError, ClosedResourceError."""
        if self._sending.locked():
            raise trio.BusyResourceError("another task is sending")
        async with self._sending:
            view = memoryview(data)
            pipe = self._outgoing
            while True:
                self._check_open()
                if pipe.broken or pipe.ended:
                    raise trio.BrokenResourceError("the other end is gone")
                room = CAPACITY - len(pipe.buffer)
                if room and view:
                    pipe.put(view[:room])
                    view = view[room:]
                    pipe.wake()
                if not view or pipe.way.lossy:
                    return
                await pipe.changed.park()

    def send_now(self, data: bytes) -> int:
        """Send what there is room for. See `net.tcp_stream.Prompt`."""
        pipe = self._outgoing
        self._check_open()
        if pipe.broken or pipe.ended:
            raise trio.BrokenResourceError("the other end is gone")
        sent = min(len(data), max(CAPACITY - len(pipe.buffer), 0))
        pipe.put(memoryview(data)[:sent])
        pipe.wake()
        return len(data) if pipe.way.lossy else sent

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room."""
        while not self._outgoing.broken and len(self._outgoing.buffer) >= CAPACITY:
            self._check_open()
            await self._outgoing.changed.park()
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive at least one byte, or b"" at the end. Raises BrokenResourceError after a reset."""
        await trio.lowlevel.checkpoint()
        pipe = self._incoming
        while True:
            self._check_open()
            if pipe.broken:
                raise trio.BrokenResourceError("connection reset")
            if data := pipe.take(max_bytes):
                pipe.wake()
                return data
            if pipe.at_end:
                return b""
            await pipe.park()

    async def send_eof(self) -> None:
        """End this direction."""
        self._check_open()
        self._outgoing.ended = True
        self._outgoing.wake()
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close both directions; unread bytes turn the close into a reset, as TCP's do."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close, without a checkpoint."""
        if self._closed:
            return
        self._closed = True
        if self._incoming.buffer:
            self._outgoing.broken = True
        self._outgoing.ended = True
        self._incoming.broken = True
        self._outgoing.wake()
        self._incoming.wake()

    def reset(self) -> None:
        """Cut the connection: both ends see it broken, and bytes under way are lost."""
        for pipe in (self._incoming, self._outgoing):
            pipe.broken = True
            pipe.buffer.clear()
            pipe.wake()

    @property
    def readable(self) -> bool:
        """Whether `receive_some` would return or raise at once."""
        return self._incoming.readable

    def wake(self) -> None:
        """Let whoever waits at either end look again."""
        self._incoming.wake()
        self._outgoing.wake()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream is closed")


def memory_stream_pair(there: Way | None = None, back: Way | None = None) -> tuple[MemoryStream, MemoryStream]:
    """Make two connected ends; `there` is how bytes travel from the first to the second."""
    one, other = _Pipe(back or Way()), _Pipe(there or Way())
    return MemoryStream(one, other), MemoryStream(other, one)
