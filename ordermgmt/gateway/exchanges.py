"""Exchanged tokens, kept while they are good: many equal requests make one exchange."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256

import trio

from ordermgmt.clock import Clock
from ordermgmt.errors import Error, Unavailable
from ordermgmt.gateway.trail import current_trail
from ordermgmt.security.claims import read_ids, read_text, read_time
from ordermgmt.security.principal import Principal
from ordermgmt.security.revocations import Revocations
from ordermgmt.security.tokens import parse
from ordermgmt.telemetry.caches import Lookups
from ordermgmt.telemetry.secrets import Unshown

__all__ = ["Exchange", "Exchanged", "Exchanges"]

MAX_ENTRIES = 10_000
"""Entries that are kept: at about 1.5 kB each, 15 MB."""
SPARE = 5.0
"""Seconds of life that a kept token must have left: as long as a slow request takes to reach its service."""


@dataclass(frozen=True, slots=True, repr=False)
class Exchanged(Unshown):
    """A JWT for one audience, from when and until when it is good (seconds since 1970).

    `ids` are those by which it may be revoked, `principal` is whom it is about.
    """

    token: str
    expires_at: float
    issued_at: float
    ids: frozenset[str]
    principal: Principal

    @classmethod
    def read(cls, token: str, expires_at: float) -> Exchanged:
        """Read what a JWT says. Without `iat` it is as old as can be. Raises Unauthenticated.

        It came from its issuer over TLS, so its signature would prove nothing more. The time is the issuer's, as that
        of a restore is that it is compared with.
        """
        unverified = parse(token)
        payload = unverified.payload
        scopes = frozenset(str(payload.get("scope", "")).split())
        sub, jti = (
            read_text(payload, "sub") or "",
            read_text(payload, "jti"),
        )
        principal = Principal(iss=unverified.issuer, sub=sub, scopes=scopes, jti=jti)
        return cls(token, expires_at, read_time(payload, "iat") or 0.0, read_ids(payload), principal)


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
    A token that `revocations` know to be over is never given, whether it was kept or was on its way meanwhile. Without
    them, of an issuer that has no stream, it is good until its end.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        revocations: Revocations | None,
        clock: Clock,
        nursery: trio.Nursery,
        cache: str = "exchanges",
    ) -> None:
        self._exchange = exchange
        self._revocations = revocations
        self._clock = clock
        self._nursery = nursery
        self._kept: OrderedDict[tuple[bytes, str], Exchanged] = OrderedDict()
        self._flights: dict[tuple[bytes, str], _Flight] = {}
        self.lookups = Lookups(cache, lambda: len(self._kept))
        """How often an exchange was kept already."""

    async def get(self, subject_token: str, audience: str) -> Exchanged:
        """Return a token for `audience` that is good for a while. Raises what the exchange raises."""
        key = sha256(subject_token.encode()).digest(), audience
        trail, begun = current_trail(), trio.current_time()
        kept = self._kept.get(key)
        if kept is not None:
            if kept.expires_at - SPARE > self._clock.now() and self._still_good(kept):
                self._kept.move_to_end(key)
                self.lookups.count(found=True)
                if trail is not None:
                    trail.exchanged(0.0, cached=True)
                return kept
            del self._kept[key]
        self.lookups.count(found=False)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
            self._nursery.start_soon(self._fly, key, subject_token, audience, flight)
        await flight.done.wait()
        if flight.result is None:
            if trail is not None:
                trail.not_exchanged(flight.error, trio.current_time() - begun)
            # Shared by all waiters: without this it would collect the traceback of each.
            raise flight.error.with_traceback(None)
        if trail is not None:
            trail.exchanged(trio.current_time() - begun, cached=False)
        return flight.result

    def _check(self, exchanged: Exchanged) -> None:
        if self._revocations is not None:
            self._revocations.check(exchanged.ids, exchanged.issued_at, self._clock.now())

    def _still_good(self, kept: Exchanged) -> bool:
        """Tell whether it may be used; one of which that cannot be known is exchanged anew: the STS knows."""
        try:
            self._check(kept)
        except Error:
            return False
        return True

    async def _fly(self, key: tuple[bytes, str], subject_token: str, audience: str, flight: _Flight) -> None:
        try:
            exchanged = await self._exchange(subject_token, audience)
            self._check(exchanged)
            flight.result = self._kept[key] = exchanged
            if len(self._kept) > MAX_ENTRIES:
                self._kept.popitem(last=False)
        except Exception as error:  # noqa: BLE001 - handed to every waiter, who raises it
            flight.error = error
        finally:
            del self._flights[key]
            flight.done.set()
