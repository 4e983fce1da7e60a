"""The network as two small classes: something that binds and connects, and something that was bound.

`TcpNetwork` is the real one; `ordermgmt.testing.MemoryNetwork` is the same without sockets.
"""

from __future__ import annotations

import select
import socket
from typing import NamedTuple, Protocol, Self

import trio

from ordermgmt.errors import StartError
from ordermgmt.net.tcp_stream import TcpStream

__all__ = ["Address", "Binding", "Network", "TcpNetwork", "format_address", "parse_address"]

BACKLOG = 4096
"""Connections that may wait for accept: what Linux allows by default. When the queue is full, the next client's first
packet is dropped and comes again after 1 s; a burst from one hostile client must not get that far."""

ACCEPT_TURN = 0.001
"""Seconds in which a process that took a connection leaves the next ones to others on the same socket. All that are
idle wake up for each, and the first would take a burst alone. It still takes more than it can shake hands with."""


class Address(NamedTuple):
    """A host name or IP address, and a port."""

    host: str
    port: int


def format_address(address: Address) -> str:
    """Render as `host:port`, an IPv6 host in brackets."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


def parse_address(text: str) -> Address:
    """Read `host:port` or `[ipv6]:port`. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        msg = f"{text!r} is not host:port"
        raise ValueError(msg)
    return Address(host, int(port))


class Binding(Protocol):
    """An address that is taken. It outlives the listeners that are opened on it."""

    @property
    def address(self) -> Address:
        """The address as bound: port 0 has become a real port."""
        ...

    def open_listener(self) -> trio.abc.Listener[trio.abc.HalfCloseableStream]:
        """Open a listener; closing it leaves the address taken, so waiting clients stay in the queue."""
        ...

    def close(self) -> None:
        """Give the address up: from now on new clients are refused."""
        ...


class Network(Protocol):
    """Where services listen and connect."""

    async def bind(self, address: Address) -> Binding:
        """Take an address; the caller closes the binding. Raises StartError if it cannot be had."""
        ...

    async def connect(self, address: Address) -> trio.abc.Stream:
        """Open a byte stream to `address`; the caller closes it. Raises OSError."""
        ...

    def is_readable(self, stream: trio.abc.Stream) -> bool:
        """Tell whether a stream of this network has something to read: on an idle one, its end."""
        ...


class SharedListener(trio.abc.Listener[trio.abc.HalfCloseableStream]):
    """A listener on a socket from which other processes accept, too: after each connection it lets them go first."""

    def __init__(self, listener: trio.abc.Listener[trio.abc.HalfCloseableStream]) -> None:
        self._listener = listener
        self._turn = 0.0

    async def accept(self) -> trio.abc.HalfCloseableStream:
        """Accept the next connection, `ACCEPT_TURN` after the last one at the earliest. Raises OSError."""
        if trio.current_time() < self._turn:
            await trio.sleep_until(self._turn)
        stream = await self._listener.accept()
        self._turn = trio.current_time() + ACCEPT_TURN
        return stream

    async def aclose(self) -> None:
        """Close this process's hold on the socket."""
        await self._listener.aclose()


class TcpBinding:
    """A listening TCP socket; `shared`: other processes accept from it, too."""

    def __init__(self, sock: socket.socket, *, shared: bool = False) -> None:
        self._socket = sock
        self._shared = shared

    @classmethod
    def adopt(cls, descriptor: int, *, shared: bool = False) -> Self:
        """Take over a listening socket that this process was started with. Raises StartError if it is none.

        The descriptor is the binding's to close; any other socket is closed at once.
        """
        try:
            sock = socket.socket(fileno=descriptor)
            sock.set_inheritable(False)
            sock.setblocking(False)
            listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError as error:
            msg = f"descriptor {descriptor} is no socket: {error.strerror}"
            raise StartError(msg) from error
        if not listening:
            sock.close()
            msg = f"descriptor {descriptor} is a socket that does not listen"
            raise StartError(msg)
        return cls(sock, shared=shared)

    def fileno(self) -> int:
        """Return the socket's descriptor, for a child process to inherit. It stays this binding's to close."""
        return self._socket.fileno()

    @property
    def address(self) -> Address:
        """The address as bound."""
        host, port = self._socket.getsockname()[:2]
        return Address(host, port)

    def open_listener(self) -> trio.abc.Listener[trio.abc.HalfCloseableStream]:
        """Listen on a duplicate of the socket, so that closing the listener keeps the queue."""
        listener = _TcpListener(trio.SocketListener(trio.socket.from_stdlib_socket(self._socket.dup())))
        return SharedListener(listener) if self._shared else listener

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class _TcpListener(trio.abc.Listener[TcpStream]):
    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener

    async def accept(self) -> TcpStream:
        return TcpStream.take_over(await self._listener.accept())

    async def aclose(self) -> None:
        await self._listener.aclose()


class TcpNetwork:
    """TCP of the operating system."""

    async def bind(self, address: Address) -> TcpBinding:
        """Bind and listen. Raises StartError with the reason if the address cannot be had."""
        try:
            found = await trio.socket.getaddrinfo(
                address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, kind, proto, _, sockaddr = found[0]
            sock = socket.socket(family, kind, proto)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(sockaddr)
                sock.listen(BACKLOG)
                sock.setblocking(False)
            except BaseException:
                sock.close()
                raise
        except OSError as error:
            msg = f"cannot listen on {format_address(address)}: {error.strerror or error}"
            raise StartError(msg) from error
        return TcpBinding(sock)

    async def connect(self, address: Address) -> TcpStream:
        """Connect. Raises OSError."""
        return TcpStream.take_over(await trio.open_tcp_stream(address.host, address.port))

    def is_readable(self, stream: trio.abc.Stream) -> bool:
        """Ask the operating system without waiting."""
        if not isinstance(stream, TcpStream):
            msg = f"not a stream of this network: {stream!r}"
            raise TypeError(msg)
        poll = select.poll()
        poll.register(stream.socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))
