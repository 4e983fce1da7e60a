"""A network without sockets: real TLS and real HTTP over bounded memory streams, in one Trio loop."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from weakref import WeakValueDictionary

import trio

from ordermgmt.errors import StartError
from ordermgmt.net import Address, format_address

__all__ = ["MemoryBinding", "MemoryNetwork", "MemoryStream", "Road", "Way", "memory_stream_pair"]

CAPACITY = 65536
"""Bytes that are under way in one direction, as in a socket's buffers: a writer beyond them waits."""
BACKLOG = 512


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


@dataclass
class Road:
    """All connections to an address, as long as either end is in use, and how bytes travel on them."""

    requests: Way = field(default_factory=Way)
    answers: Way = field(default_factory=Way)
    closed: bool = False
    """Whether new connections are refused."""
    streams: WeakValueDictionary[int, MemoryStream] = field(default_factory=WeakValueDictionary)
    """By number, so that they come in order."""
    count: int = 0

    def connect(self) -> tuple[MemoryStream, MemoryStream]:
        """Make a connection; return the client's end and the server's."""
        client, server = memory_stream_pair(self.requests, self.answers)
        for stream in (client, server):
            self.count += 1
            self.streams[self.count] = stream
        return client, server


def memory_stream_pair(there: Way | None = None, back: Way | None = None) -> tuple[MemoryStream, MemoryStream]:
    """Make two connected ends; `there` is how bytes travel from the first to the second."""
    one, other = _Pipe(back or Way()), _Pipe(there or Way())
    return MemoryStream(one, other), MemoryStream(other, one)


def _resolve(address: Address) -> Address:
    return address._replace(host="127.0.0.1") if address.host == "localhost" else address


class _MemoryListener(trio.abc.Listener[trio.abc.HalfCloseableStream]):
    def __init__(self, queue: trio.MemoryReceiveChannel[MemoryStream]) -> None:
        self._queue = queue

    async def accept(self) -> MemoryStream:
        return await self._queue.receive()

    async def aclose(self) -> None:
        self._queue.close()
        await trio.lowlevel.checkpoint()


class MemoryBinding:
    """An address that is taken in a MemoryNetwork."""

    def __init__(self, address: Address, release: Callable[[], None]) -> None:
        self.address = address
        self._release = release
        self._send, self._receive = trio.open_memory_channel[MemoryStream](BACKLOG)

    def open_listener(self) -> trio.abc.Listener[trio.abc.HalfCloseableStream]:
        """Open a listener; connections that nobody accepted wait for the next one."""
        return _MemoryListener(self._receive.clone())

    def offer(self, stream: MemoryStream) -> None:
        """Queue a connection. Raises trio.WouldBlock when `BACKLOG` of them wait."""
        self._send.send_nowait(stream)

    def close(self) -> None:
        """Release the address; connections that wait are reset."""
        self._release()
        while True:
            try:
                self._receive.receive_nowait().reset()
            except (trio.WouldBlock, trio.EndOfChannel):
                break
        self._send.close()
        self._receive.close()


class MemoryNetwork:
    """Addresses of one imaginary machine."""

    def __init__(self) -> None:
        self._bindings: dict[Address, MemoryBinding] = {}
        self._roads: dict[Address, Road] = {}
        self._next_port = 40000
        self.on_connect: Callable[[Address, MemoryStream], MemoryStream] = lambda _, stream: stream

    async def bind(self, address: Address) -> MemoryBinding:
        """Take an address. Raises StartError if it is taken."""
        await trio.lowlevel.checkpoint()
        address = _resolve(address)
        if address.port == 0:
            self._next_port += 1
            address = Address(address.host, self._next_port)
        if address in self._bindings:
            msg = f"cannot listen on {format_address(address)}: Address already in use"
            raise StartError(msg)

        def release() -> None:
            self._bindings.pop(address, None)

        binding = MemoryBinding(address, release)
        self._bindings[address] = binding
        return binding

    async def connect(self, address: Address) -> MemoryStream:
        """Connect. Raises ConnectionRefusedError when nobody listens or the queue is full."""
        await trio.lowlevel.checkpoint()
        road = self.road(address)
        client, server = road.connect()
        try:
            if road.closed:
                raise trio.WouldBlock  # noqa: TRY301 - as a full queue
            self._bindings[_resolve(address)].offer(server)
        except (KeyError, trio.WouldBlock):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused") from None
        return self.on_connect(address, client)

    def road(self, address: Address) -> Road:
        """Return the way to an address, whether or not somebody listens there."""
        return self._roads.setdefault(_resolve(address), Road())

    def is_readable(self, stream: trio.abc.Stream) -> bool:
        """See `Network.is_readable`."""
        if not isinstance(stream, MemoryStream):
            msg = f"not a stream of this network: {stream!r}"
            raise TypeError(msg)
        return stream.readable
