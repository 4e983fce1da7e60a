"""What a client may make an HTTP/2 connection do for nothing, counted on the wire before anything is parsed."""

from __future__ import annotations

__all__ = ["BURST", "MAX_BLOCK", "MAX_FRAME", "REFILL", "Flood", "FrameBudget"]

BURST = 1000
"""Points that a client has at first, and at most."""
REFILL = 20
"""Points that come back every second."""
MAX_BLOCK = 32 * 1024
"""Bytes of one header block, as compressed, over HEADERS and its CONTINUATION frames."""
MAX_FRAME = 16384
"""Bytes of a frame, as we never allow more (RFC 9113 section 4.2)."""
SMALL = 256
"""Bytes of a DATA frame that is not worth its handling, unless it is the last one."""
EXPECTED = 2
"""Points of the start of a request, and of its end. Those that are ones give them back (`FrameBudget.earn`); frames for
a stream that is gone do not."""

_PREFACE = 24
_HEADER = 9
_DATA, _HEADERS, _PRIORITY, _RST_STREAM, _SETTINGS, _PUSH_PROMISE, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = (
    range(10)
)
_END_STREAM = 0x1
_ACK = 0x1

_COSTS = {_PRIORITY: 5, _RST_STREAM: 10, _SETTINGS: 10, _PING: 10, _WINDOW_UPDATE: 1, _CONTINUATION: 10}
"""By type: at first 100 resets, pings or settings at once, or 1,000 window updates, and every second 2 or 20 more.
A frame of a type that is not known costs as much as a priority, which is ignored too."""


class Flood(Exception):
    """The client sends too much; `what` names it, `code` is what to say (RFC 9113 section 7)."""

    def __init__(self, what: str, code: int = 0xB) -> None:  # ENHANCE_YOUR_CALM
        super().__init__(what)
        self.code = code


class FrameBudget:
    """Walks over the frames of one connection and takes their price.

    Requests are free in the end, as open streams are bounded elsewhere. Data that the client is sent earns it window
    updates.
    """

    def __init__(self, now: float) -> None:
        self._points = float(BURST)
        self._at = now
        self._skip = _PREFACE
        self._header = bytearray()
        self._block = 0

    def take(self, data: bytes, now: float) -> None:
        """Look at the next bytes from the client. Raises Flood."""
        self._points = min(BURST, self._points + (now - self._at) * REFILL)
        self._at = now
        position = 0
        while position < len(data):
            if self._skip:
                step = min(self._skip, len(data) - position)
                self._skip -= step
                position += step
                continue
            part = data[position : position + _HEADER - len(self._header)]
            self._header += part
            position += len(part)
            if len(self._header) == _HEADER:
                self._skip = int.from_bytes(self._header[:3], "big")
                self._frame(self._skip, self._header[3], self._header[4])
                self._header.clear()

    def earn(self) -> None:
        """Give back the price of a request's start or end, or that of the window updates for one frame of data."""
        self._points = min(BURST, self._points + EXPECTED)

    def charge(self, points: int, what: str) -> None:
        """Take the price of something that is not a frame. Raises Flood."""
        self._points -= points
        if self._points < 0:
            raise Flood(what)

    def _frame(self, length: int, kind: int, flags: int) -> None:
        if length > MAX_FRAME:
            # h2 says the same, but only after it has buffered the whole frame.
            raise Flood("a frame that is too large", 0x6)  # FRAME_SIZE_ERROR
        if kind in {_DATA, _HEADERS}:
            self._part_of_request(length, kind, ends=bool(flags & _END_STREAM))
        elif kind == _SETTINGS and flags & _ACK:
            self.charge(1, "SETTINGS")
        else:
            self.charge(_COSTS.get(kind, 5), f"frame of type {kind}")
        if kind == _CONTINUATION:
            self._block += length
        if self._block > MAX_BLOCK:
            raise Flood("header block")

    def _part_of_request(self, length: int, kind: int, *, ends: bool) -> None:
        if kind == _HEADERS:
            self._block = length
            self.charge(EXPECTED, "HEADERS")
        elif length < SMALL and not ends:
            self.charge(5, "small DATA")
        if ends:
            self.charge(EXPECTED, "ends of requests")
