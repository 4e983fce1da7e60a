"""A network without sockets: real TLS and real HTTP over bounded memory streams, in one Trio loop."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import trio

from ordermgmt.errors import StartError
from ordermgmt.net import Address, format_address
from ordermgmt.testing.memory_stream import MemoryStream, Way, memory_stream_pair

__all__ = ["MemoryBinding", "MemoryNetwork", "Road"]

BACKLOG = 512


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
