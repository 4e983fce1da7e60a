"""What a connection has to send, and the one task that sends it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

__all__ = ["HIGH_WATER", "Outgoing"]

HIGH_WATER = 64 * 1024
"""Bytes that may wait. Whoever put more waits in `room`, so what waits is at most this and what one `put` brought."""
SEND_SIZE = 64 * 1024
"""Bytes of one write, and what the deadline of `send` is for."""


class Outgoing:
    """A queue of bytes with a task of its own, so that no sender can be cut in the middle of a write.

    What is put between two turns of the scheduler leaves in one write: a head and its body in one packet and one TLS
    record. A head that is put by an application that then waits leaves at once. `broken` is called once when the client
    does not take what it is sent within `seconds` for every 64 KiB, or is gone.

    `send_now` sends without waiting; it returns False if something is left, which goes first with the next `send_all`.
    """

    def __init__(
        self,
        send_all: Callable[[bytes], Awaitable[None]],
        seconds: float,
        broken: Callable[[], None],
        send_now: Callable[[bytes], bool] | None = None,
    ) -> None:
        self._send_all = send_all
        self._send_now = send_now
        self._seconds = seconds
        self._broken = broken
        self._sending = False
        self._left = False
        self._waiting = bytearray()
        self._ended = False
        self._work = trio.lowlevel.ParkingLot()
        self._drained = trio.lowlevel.ParkingLot()

    def put(self, data: bytes) -> None:
        """Take bytes. After `finish`, or to a client that is gone, they are dropped."""
        if not self._ended:
            self._waiting += data
            self._work.unpark()

    def send(self, data: bytes) -> None:
        """Take bytes that nothing follows for now: they leave here, without the task, if nothing is in their way."""
        busy = self._sending or self._left or self._waiting or self._ended
        if busy or self._send_now is None or len(data) > SEND_SIZE:
            self.put(data)
            return
        try:
            self._left = not self._send_now(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.finish()
            self._broken()
        if self._left:
            self._work.unpark()

    async def room(self) -> None:
        """Wait until no more than `HIGH_WATER` bytes wait: this is what makes a sender as slow as its client."""
        while len(self._waiting) > HIGH_WATER:
            await self._drained.park()

    def finish(self) -> None:
        """Take nothing more; `run` returns when what waits is sent."""
        self._ended = True
        self._work.unpark()

    async def run(self) -> None:
        """Send until `finish`, or until the client is gone."""
        try:
            while self._waiting or self._left or not self._ended:
                if not (self._waiting or self._left):
                    await self._work.park()
                    continue
                data = bytes(self._waiting[:SEND_SIZE])
                del self._waiting[:SEND_SIZE]
                self._left, self._sending = False, True
                with trio.CancelScope(deadline=trio.current_time() + self._seconds) as patience:
                    await self._send_all(data)
                self._sending = False
                if patience.cancelled_caught:
                    self._broken()
                    return
                self._drained.unpark_all()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._broken()
        finally:
            # However it ends: who waits for room may be a task that does not end with the connection.
            self._ended = True
            self._waiting.clear()
            self._drained.unpark_all()
