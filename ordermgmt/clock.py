"""Wall clock time, as a seam: dates in tokens, certificates and rows come from here and nowhere else.

Durations and deadlines use `trio.current_time()`, which no clock change can move.
"""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Tells the wall clock time."""

    def now(self) -> float:
        """Return seconds since 1970-01-01T00:00:00Z."""
        ...


class SystemClock:
    """The clock of the operating system. The only clock that production uses."""

    def now(self) -> float:
        """Return seconds since 1970-01-01T00:00:00Z."""
        return time.time()
