"""When signing keys change: next, then active, then retiring, then gone. Decisions only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from ordermgmt.security.jwks import FETCH_TIMEOUT, REFRESH, STALE
from ordermgmt.security.tokens import SKEW

__all__ = [
    "CACHED",
    "PUBLISH_AHEAD",
    "Activate",
    "Change",
    "Drop",
    "KeyState",
    "Publish",
    "Schedule",
    "StoredKey",
    "plan",
]

CACHED = 300.0
"""Seconds that a cache between us and a verifier may answer with an old JWK set: its `max-age`."""
MARGIN = 60.0
"""Seconds for what is not instant: a replica that is slow to look at the database, a clock that is corrected."""
PUBLISH_AHEAD = REFRESH + STALE + FETCH_TIMEOUT + CACHED + MARGIN
"""Seconds that a key is published before it signs: 300 + 600 + 4 + 300 + 60 = 1264, 21 minutes.

A verifier fetches every REFRESH; when that fails it goes on with what it knows for STALE, and then trusts no key at
all. So one that trusts any key has fetched within REFRESH + STALE + FETCH_TIMEOUT, and what it got was at most CACHED
old: a key that has been published for longer than all of them is known wherever a token of it can arrive. A verifier
that can be reached by tokens but cannot reach us answers 503 in the end, and never 401 for want of the key.
"""


class KeyState(StrEnum):
    """Where a key is in its life. One that is gone is deleted."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRING = "retiring"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A signing key as kept. `private_pem` is encrypted. Times are in seconds since 1970."""

    kid: str
    algorithm: str
    state: KeyState
    since: int
    """When it came into this state."""
    created_at: int
    private_pem: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long each state lasts, in seconds."""

    period: float
    """From one activation to the next; 0: only on command."""
    retain: float
    """From the last token that a key signed until it is forgotten."""
    publish_ahead: float = PUBLISH_AHEAD

    @classmethod
    def of(cls, rotation_days: float, token_lifetimes: Iterable[int]) -> Schedule:
        """Return the schedule for a rotation every so many days, when tokens live as long as any of these.

        A key is kept for the longest of them, and for the skew that verifiers allow.
        """
        return cls(period=rotation_days * 86400, retain=max(token_lifetimes) + SKEW + MARGIN)


@dataclass(frozen=True, slots=True)
class Publish:
    """Make a key and publish it as the next one."""


@dataclass(frozen=True, slots=True)
class Activate:
    """Have `kid` sign from now on, and the one before it retire."""

    kid: str
    replaces: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget `kid`: nothing that it signed is good any more."""

    kid: str


Change = Publish | Activate | Drop


def plan(keys: Iterable[StoredKey], now: float, schedule: Schedule) -> tuple[Change, ...]:
    """Return what is due at `now`. Of several replicas that decide the same, one does it; see `key_store`.

    A next key is there because it was wanted, by schedule or on command, so it signs as soon as it may.
    """
    by_state: dict[KeyState, list[StoredKey]] = {state: [] for state in KeyState}
    for key in keys:
        by_state[key.state].append(key)
    changes: list[Change] = [Drop(key.kid) for key in by_state[KeyState.RETIRING] if now >= key.since + schedule.retain]
    for active in by_state[KeyState.ACTIVE]:
        ahead = by_state[KeyState.NEXT]
        changes += [Activate(key.kid, active.kid) for key in ahead if now >= key.since + schedule.publish_ahead]
        if not ahead and schedule.period and now >= active.since + schedule.period - schedule.publish_ahead:
            changes.append(Publish())
    return tuple(changes)
