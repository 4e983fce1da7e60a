"""Wall clocks that move with Trio's clock, so that a MockClock moves dates too."""

from __future__ import annotations

from datetime import UTC, datetime

import trio

__all__ = ["START", "VirtualClock"]

START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""When virtual time begins."""


class VirtualClock:
    """A wall clock that reads `start` when it is made and then keeps pace with `trio.current_time()`.

    Make it inside the run. `skew` (seconds, may be changed at any time) sets it off from the others.
    """

    def __init__(self, start: float = START, *, skew: float = 0.0) -> None:
        self._offset = start - trio.current_time()
        self.skew = skew

    def now(self) -> float:
        """Return seconds since 1970."""
        return trio.current_time() + self._offset + self.skew
