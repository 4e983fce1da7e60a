"""The control channel between a supervisor and a child process: one JSON object a line, over a socket pair.

The kernel closes each end with its process, however that ends, so the end of the channel is also how each side learns
that the other one is gone.
"""

from __future__ import annotations

import socket
from typing import Generic, Literal, Self, TypeVar

import msgspec
import trio

from ordermgmt.telemetry.metrics import Figure

__all__ = [
    "Channel",
    "Check",
    "Checked",
    "Command",
    "ControlError",
    "Drain",
    "Failed",
    "Measure",
    "Measured",
    "Ready",
    "Reload",
    "Report",
    "Start",
    "child_end",
    "supervisor_end",
]

LONGEST = 524_288
"""Bytes of a line. The longest is `Measured`: 300 bytes for each of four outcomes of the gateway's 80 routes and
methods are 100 kB, and few of them ever happen."""

Received = TypeVar("Received")
Sent = TypeVar("Sent", bound=msgspec.Struct)


class ControlError(Exception):
    """What came through the channel is no message, or what should go through is too long for one."""


class Start(msgspec.Struct, frozen=True, tag="start"):
    """The first command, and only once: do this. What the assignment means is up to the program."""

    assignment: msgspec.Raw


class Drain(msgspec.Struct, frozen=True, tag="drain"):
    """Finish what is in flight, then end."""


class Check(msgspec.Struct, frozen=True, tag="check"):
    """Say whether you can do your work. The next one comes only after the answer."""


class Measure(msgspec.Struct, frozen=True, tag="measure"):
    """Tell your figures. The next one comes only after the answer."""


class Reload(msgspec.Struct, frozen=True, tag="reload"):
    """Change, while you serve, what you keep in memory: ring the bell of this name. See `bells.Bells`."""

    bell: Literal["certificates", "signing_keys"]


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The child serves now, at these addresses."""

    addresses: tuple[str, ...]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The child will end now, for this reason: one line."""

    reason: str


class Checked(msgspec.Struct, frozen=True, tag="checked"):
    """The answer to `Check`: None, or why the child cannot do its work."""

    reason: str | None


class Measured(msgspec.Struct, frozen=True, tag="measured"):
    """The answer to `Measure`; without figures also from a child that cannot tell them now."""

    figures: tuple[Figure, ...]


Command = Start | Drain | Check | Measure | Reload
Report = Ready | Failed | Checked | Measured


class Channel(Generic[Sent, Received]):
    """One end. Use it as `async with`, which closes it. One task at a time receives; any number send."""

    def __init__(self, sock: socket.socket, decoder: msgspec.json.Decoder[Received]) -> None:
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._decoder = decoder
        self._sending = trio.Lock()
        self._buffer = bytearray()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stream.aclose()

    async def send(self, message: Sent) -> None:
        """Send one message; to an end that is gone, nothing: whoever receives learns of it.

        A cancellation may leave half a line behind, so nothing is sent after one. Raises ControlError.
        """
        line = msgspec.json.encode(message) + b"\n"
        if len(line) > LONGEST:
            msg = f"a control message of {len(line)} bytes is too long"
            raise ControlError(msg)
        async with self._sending:
            try:
                await self._stream.send_all(line)
            except trio.BrokenResourceError:
                return

    async def receive(self) -> Received | None:
        """Return the next message, None if the other end is gone. Cancel-safe. Raises ControlError."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) >= LONGEST:
                msg = "a line on the control channel is too long"
                raise ControlError(msg)
            try:
                chunk = await self._stream.receive_some(LONGEST - len(self._buffer))
            except trio.BrokenResourceError:
                return None
            if not chunk:
                return None
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            return self._decoder.decode(line)
        except msgspec.DecodeError as error:
            msg = f"a line on the control channel is no message: {error}"
            raise ControlError(msg) from error


def supervisor_end(sock: socket.socket) -> Channel[Command, Report]:
    """Make the end that commands and hears reports. It owns `sock`."""
    return Channel(sock, msgspec.json.Decoder(Report))


def child_end(sock: socket.socket) -> Channel[Report, Command]:
    """Make the end that obeys and reports. It owns `sock`."""
    return Channel(sock, msgspec.json.Decoder(Command))
