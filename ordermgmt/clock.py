"""Wall clock time, as a seam: dates in tokens, certificates and rows come from here and nowhere else.

Durations and deadlines use `trio.current_time()`, which no clock change can move.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock", "rfc3339"]


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


def rfc3339(seconds: float, timespec: str = "seconds") -> str:
    """Write a time in UTC as RFC 3339 section 5.6 has it, down to `timespec` as `datetime.isoformat` names it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
