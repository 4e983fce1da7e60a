"""When to restart a service that crashed, and when to give it up. Pure: time is an argument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["GiveUp", "RestartAfter", "RestartPolicy"]


@dataclass(frozen=True, slots=True)
class RestartAfter:
    """Wait this many seconds, then start the service again."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It crashed `crashes` times within `window` seconds: more restarts would not cure it."""

    crashes: int
    window: float


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Exponential back-off with a cap on restarts per window; all durations are in seconds.

    The back-off counts the crashes in the window only, so a service that ran well for that long is
    restarted fast again. Raises ValueError if the numbers make no sense.
    """

    first_delay: float = 0.1
    factor: float = 2.0
    max_delay: float = 5.0
    max_restarts: int = 5
    window: float = 60.0

    def __post_init__(self) -> None:
        """Refuse numbers that would restart in a busy loop or never."""
        if not (0 < self.first_delay <= self.max_delay and self.factor >= 1 and self.window > 0):
            msg = f"not a restart policy: {self}"
            raise ValueError(msg)
        if self.max_restarts < 0:
            msg = f"max_restarts is negative: {self.max_restarts}"
            raise ValueError(msg)

    def decide(self, crashes: Sequence[float], now: float) -> RestartAfter | GiveUp:
        """Decide after a crash.

        `crashes` are the times of the crashes so far, this one included; they and `now` are of one clock.
        A crash exactly `window` seconds ago no longer counts.
        """
        recent = sum(1 for crash in crashes if now - crash < self.window)
        if recent > self.max_restarts:
            return GiveUp(recent, self.window)
        delay = self.first_delay
        for _ in range(recent - 1):
            delay = min(delay * self.factor, self.max_delay)
        return RestartAfter(delay)
