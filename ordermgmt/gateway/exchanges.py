"""Exchanged tokens, kept while they are good: many equal requests make one exchange."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256

import trio

from ordermgmt.clock import Clock
from ordermgmt.errors import Unavailable

__all__ = ["Exchange", "Exchanged", "Exchanges"]

MAX_ENTRIES = 10_000
"""Entries that are kept: at about 1.5 kB each, 15 MB."""
SPARE = 5.0
"""Seconds of life that a kept token must have left: as long as a slow request takes to reach its service."""


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A JWT for one audience, and until when it is good (seconds since 1970)."""

    token: str
    expires_at: float


@dataclass(slots=True)
class _Flight:
    done: trio.Event = field(default_factory=trio.Event)
    result: Exchanged | None = None
    error: Exception = field(default_factory=lambda: Unavailable("shutting-down", retry_after=1))


Exchange = Callable[[str, str], Awaitable[Exchanged]]
"""Exchanges a subject token for an audience at the STS."""


class Exchanges:
    """A cache of exchanges with single flight.

    The exchange itself runs in `nursery`, so a caller that is cancelled fails nobody who waits for the same
    one; whoever owns the nursery ends what is under way. The subject token is kept only as a digest.
    """

    def __init__(self, exchange: Exchange, *, clock: Clock, nursery: trio.Nursery) -> None:
        self._exchange = exchange
        self._clock = clock
        self._nursery = nursery
        self._kept: OrderedDict[tuple[bytes, str], Exchanged] = OrderedDict()
        self._flights: dict[tuple[bytes, str], _Flight] = {}

    async def get(self, subject_token: str, audience: str) -> Exchanged:
        """Return a token for `audience` that is good for a while. Raises what the exchange raises."""
        key = sha256(subject_token.encode()).digest(), audience
        kept = self._kept.get(key)
        if kept is not None:
            if kept.expires_at - SPARE > self._clock.now():
                self._kept.move_to_end(key)
                return kept
            del self._kept[key]
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
            self._nursery.start_soon(self._fly, key, subject_token, audience, flight)
        await flight.done.wait()
        if flight.result is None:
            # Shared by all waiters: without this it would collect the traceback of each.
            raise flight.error.with_traceback(None)
        return flight.result

    async def _fly(self, key: tuple[bytes, str], subject_token: str, audience: str, flight: _Flight) -> None:
        try:
            flight.result = await self._exchange(subject_token, audience)
            self._kept[key] = flight.result
            if len(self._kept) > MAX_ENTRIES:
                self._kept.popitem(last=False)
        except Exception as error:  # noqa: BLE001 - handed to every waiter, who raises it
            flight.error = error
        finally:
            del self._flights[key]
            flight.done.set()
