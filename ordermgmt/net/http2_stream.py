"""One request of an HTTP/2 connection: what came of its body, and what of the answer has still to be sent."""

from __future__ import annotations

from math import inf

import trio
from hypercorn.protocol.http_stream import HTTPStream

__all__ = ["HIGH_WATER", "Http2Stream"]

HIGH_WATER = 16 * 1024
"""Bytes of an answer that may wait for the client's window before its application has to wait."""
UNIT = 64 * 1024
"""Bytes that a client has `limits.send` seconds to take."""


class Http2Stream:
    """The state of one stream. `http` is Hypercorn's side of it, towards the application."""

    def __init__(self, stream_id: int, http: HTTPStream, body_deadline: float) -> None:
        self.stream_id = stream_id
        self.http = http
        self.body_deadline = body_deadline
        self.body_size = 0
        self.outgoing = bytearray()
        self.complete = False
        self.ended = False
        self._alive = True
        self._moved = trio.lowlevel.ParkingLot()

    @property
    def body_complete(self) -> bool:
        """Whether the client has sent its whole request."""
        return self.body_deadline == inf

    @property
    def has_something(self) -> bool:
        """Whether there is anything to send, be it only the end."""
        return bool(self.outgoing) or (self.complete and not self.ended)

    def cut(self, size: int) -> tuple[bytes, bool]:
        """Take at most `size` bytes to send, and whether they are the last."""
        data = bytes(self.outgoing[:size])
        del self.outgoing[:size]
        self.ended = self.complete and not self.outgoing
        self._moved.unpark_all()
        return data, self.ended

    def close(self) -> None:
        """Let nobody wait for this stream any longer."""
        self._alive = False
        self.outgoing.clear()
        self._moved.unpark_all()

    async def taken(self, seconds: float) -> bool:
        """Wait until the client took enough for more to be put; False if it did not take 64 KiB in `seconds`."""
        while self._must_wait():
            goal = len(self.outgoing) - UNIT
            with trio.move_on_after(seconds) as scope:
                while self._must_wait() and len(self.outgoing) > goal:
                    await self._moved.park()
            if scope.cancelled_caught:
                return False
        return True

    def _must_wait(self) -> bool:
        """Tell whether more waits for the client than may; at the end of an answer, whether anything does."""
        return self._alive and (len(self.outgoing) > HIGH_WATER or (self.complete and not self.ended))
