"""A TCP connection as a stream that sends without a turn of the scheduler what the system takes at once."""

from __future__ import annotations

import errno
import socket
from typing import Protocol, runtime_checkable

import trio

__all__ = ["Prompt", "TcpStream"]

_CLOSED = frozenset({errno.EBADF, errno.ENOTSOCK})


@runtime_checkable
class Prompt(Protocol):
    """A stream that can be sent on without waiting, while nobody else sends on it."""

    def send_now(self, data: bytes) -> int:
        """Send what is taken at once, and return how many bytes. Raises BrokenResourceError, ClosedResourceError."""
        ...


class TcpStream(trio.abc.HalfCloseableStream):
    """A connected socket, which it closes: for one task that sends and one that receives.

    Every call is a place to be cancelled. `trio.SocketStream` gives others a turn after each send, too; here only a
    receive does, and a send that has to wait. What is sent comes of what was received, so nobody is left waiting.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._ended = False

    @classmethod
    def take_over(cls, stream: trio.SocketStream) -> TcpStream:
        """Take the socket out of a stream of Trio's, with the options that it has set."""
        sock = socket.socket(fileno=stream.socket.detach())
        sock.setblocking(False)
        return cls(sock)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it. Raises BrokenResourceError, ClosedResourceError. Cancelled, a part may have been sent."""
        await trio.lowlevel.checkpoint_if_cancelled()
        sent = self.send_now(data)
        if sent < len(data):
            with memoryview(data) as whole:
                while sent < len(whole):
                    await trio.lowlevel.wait_writable(self.socket)
                    with whole[sent:] as rest:
                        sent += self.send_now(rest)

    def send_now(self, data: bytes | bytearray | memoryview) -> int:
        """Send what the system takes at once. See `Prompt`."""
        if self._ended:
            msg = "nothing is sent after the end"
            raise trio.ClosedResourceError(msg)
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise _lost(error) from error

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until some of it could be sent."""
        await trio.lowlevel.wait_writable(self.socket)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return some bytes, none at the end. Raises BrokenResourceError, ClosedResourceError."""
        await trio.lowlevel.checkpoint_if_cancelled()
        waited = False
        while True:  # noqa: ASYNC913 - each way through it has one
            try:
                data = self.socket.recv(max_bytes or 65536)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.socket)
                waited = True
            except OSError as error:
                raise _lost(error) from error
            else:
                if not waited:
                    # Somebody who sends without end must not keep all others from their turn.
                    await trio.lowlevel.cancel_shielded_checkpoint()
                return data

    async def send_eof(self) -> None:
        """Send nothing any more."""
        await trio.lowlevel.checkpoint()
        if not self._ended:
            self._ended = True
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                raise _lost(error) from error

    async def aclose(self) -> None:
        """Close it; whoever waits for it gets ClosedResourceError."""
        if self.socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self.socket)
            self.socket.close()
        await trio.lowlevel.checkpoint()


def _lost(error: OSError) -> trio.BrokenResourceError | trio.ClosedResourceError:
    if error.errno in _CLOSED:
        return trio.ClosedResourceError("the connection was closed here")
    return trio.BrokenResourceError(f"the connection was lost: {error.strerror or error}")
