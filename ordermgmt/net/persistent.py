"""Persistent connections to services of this suite (RFC 9112 section 9.3): lean, as both ends are ours.

A connection carries one request at a time, in one write, and is kept only if it has brought a whole answer and nothing
else. Whatever ends an exchange early, a cancellation at any point included, ends its connection too, so there is no
state between two exchanges but a list of idle connections.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from ordermgmt.net.client_connection import ClientConnection
from ordermgmt.net.exchange import KEEP_ALIVE, Interrupted, Message, Response, Unreachable
from ordermgmt.net.fields import is_field_name, is_field_value
from ordermgmt.net.lines import Lines
from ordermgmt.net.network import Address, Network, format_address
from ordermgmt.net.tls_seam import ClientTls, PeerRefused

__all__ = ["Persistent", "open_persistent"]

T = TypeVar("T")


_LINE = re.compile(r"[A-Z]+ [\x21\x22\x24-\x7e]+")
_LOST = (trio.BrokenResourceError, trio.ClosedResourceError)


class Persistent:
    """A `Transport` over connections of its own. Made by `open_persistent`.

    A connection belongs to the value of `tls` that it was opened with: when that changes, requests go over new ones.
    At most `limit` idle ones are kept.
    """

    def __init__(self, network: Network, tls: Callable[[], ClientTls | None], limit: int) -> None:
        self._network = network
        self._tls = tls
        self._limit = limit
        self._current = tls()
        self._idle: list[ClientConnection] = []

    async def exchange(self, address: Address, message: Message) -> Response:
        """Send one request and read its whole answer. See `Transport.exchange`."""
        return await self._use(address, message, ClientConnection.exchange)

    async def follow(
        self, address: Address, message: Message, answered: Callable[[int], None], take: Callable[[bytes], None]
    ) -> int:
        """Send one request, and hand on the lines of its answer. See `Transport.follow`."""
        lines = Lines(take, message.max_answer)

        async def send(connection: ClientConnection, head: bytes, message: Message) -> tuple[int, bool]:
            return await connection.follow(head, message, answered, lines)

        return await self._use(address, message, send)

    async def _use(
        self,
        address: Address,
        message: Message,
        send: Callable[[ClientConnection, bytes, Message], Awaitable[tuple[T, bool]]],
    ) -> T:
        """Send a request over a connection that nobody else uses, and keep that only if it can be used again."""
        head = _render_head(address, message)
        tls = self._tls()
        if tls is not self._current:
            self._current = tls
            await self.close()
        connection = await self._take(address) or await self._open(address, tls)
        whole = False
        try:
            answer, keeps = await send(connection, head, message)
            whole = keeps and tls is self._current and len(self._idle) < self._limit
        except _LOST as error:
            msg = f"{address.host}: the connection was lost"
            raise Interrupted(msg) from error
        finally:
            if whole:
                connection.idle_since = trio.current_time()
                self._idle.append(connection)
            else:
                await _cut([connection])  # noqa: ASYNC102 - shielded, and waits for nobody
        return answer

    async def end(self) -> None:
        """Keep nothing any more."""
        self._limit = 0
        await self.close()

    async def close(self) -> None:
        """Close what is idle; what is in use is closed by its user."""
        idle, self._idle = self._idle, []
        await _cut(idle)

    async def _take(self, address: Address) -> ClientConnection | None:
        """Take the connection to `address` that was used last, of those that still are good."""
        oldest = trio.current_time() - KEEP_ALIVE
        ended: list[ClientConnection] = []
        found = None
        # The list is in the order in which they became idle.
        while self._idle and self._idle[0].idle_since < oldest:
            ended.append(self._idle.pop(0))
        for place in range(len(self._idle) - 1, -1, -1):
            if self._idle[place].address == address:
                connection = self._idle.pop(place)
                # To be readable before anything was asked can only mean its end.
                if not self._network.is_readable(connection.wire):
                    found = connection
                    break
                ended.append(connection)
        if ended:
            await _cut(ended)  # shielded, so what was found is not lost here
        return found

    async def _open(self, address: Address, tls: ClientTls | None) -> ClientConnection:
        """Connect, and see who answers before anything is said. Raises Unreachable."""
        try:
            wire = await self._network.connect(address)
        except OSError as error:
            msg = f"{address.host}: {error.strerror or error}"
            raise Unreachable(msg) from error
        connection = ClientConnection(address, wire)
        try:
            if tls is not None:
                await connection.start_tls(tls)
        except (trio.BrokenResourceError, PeerRefused) as error:
            await _cut([connection])  # noqa: ASYNC120 - shielded, and waits for nobody
            msg = f"{address.host}: {error.__cause__ or error}"
            raise Unreachable(msg) from error
        except BaseException:
            await _cut([connection])  # noqa: ASYNC102, ASYNC120 - shielded, and waits for nobody
            raise
        return connection


def _render_head(address: Address, message: Message) -> bytes:
    """Raises ValueError for what would be another request than was meant."""
    line = f"{message.method} {message.target}"
    if not _LINE.fullmatch(line):
        msg = f"this is no request: {line!a:.100}"
        raise ValueError(msg)
    line += f" HTTP/1.1\r\nhost: {format_address(address)}\r\naccept-encoding: identity\r\nuser-agent: ordermgmt"
    parts = [line.encode("latin-1")]
    for name, value in message.headers:
        raw_name, raw_value = name.encode("latin-1", "replace"), value.encode("latin-1")
        if not (is_field_name(raw_name) and is_field_value(raw_value)):
            msg = f"this is no header field: {name!a:.100}"
            raise ValueError(msg)
        parts.append(b"%b: %b" % (raw_name, raw_value))
    if message.content or message.method in {"POST", "PUT"}:
        parts.append(b"content-length: %d" % len(message.content))
    return b"\r\n".join([*parts, b"", b""])


async def _cut(connections: Iterable[ClientConnection]) -> None:
    """Close without goodbye, which waits for nobody."""
    with trio.CancelScope(shield=True):
        for connection in connections:
            await trio.aclose_forcefully(connection.wire)


@asynccontextmanager
async def open_persistent(
    network: Network, tls: Callable[[], ClientTls | None], limit: int
) -> AsyncIterator[Persistent]:
    """Open a transport that keeps up to `limit` idle connections; leaving the block closes them."""
    persistent = Persistent(network, tls, limit)
    try:
        yield persistent
    finally:
        await persistent.end()  # noqa: ASYNC102 - shielded, and waits for nobody
