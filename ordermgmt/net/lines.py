"""Lines of an answer that goes on: cut from what arrives, in whatever parts it does."""

from __future__ import annotations

from collections.abc import Callable

from ordermgmt.net.exchange import TooLong

__all__ = ["Lines"]


class Lines:
    """Hands each line to `take`, without its end. What follows the last end is no line."""

    def __init__(self, take: Callable[[bytes], None], limit: int) -> None:
        self._take = take
        self._limit = limit
        self._waiting = bytearray()

    def put(self, data: bytes) -> None:
        """Add what arrived. Raises TooLong for a line of more than `limit` bytes, and what `take` raises."""
        self._waiting += data
        while (end := self._waiting.find(b"\n")) >= 0:
            line = bytes(self._waiting[:end])
            del self._waiting[: end + 1]
            self._check_length(line)
            self._take(line)
        self._check_length(self._waiting)

    def _check_length(self, line: bytes | bytearray) -> None:
        if len(line) > self._limit:
            msg = f"a line of the answer is over {self._limit} bytes"
            raise TooLong(msg)
