"""What an issuer says of tokens that are over before their time: the lines of its stream, and what they come to.

docs/revocation.md has the arithmetic of all times here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from math import inf
from typing import Annotated

import msgspec
import trio

from ordermgmt.errors import Unauthenticated, Unavailable
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.telemetry.metrics import Figure

__all__ = ["CLOSED_AFTER", "MAX_LINE", "YOUNG", "RevocationLine", "Revocations", "figures", "sequence_figure"]

YOUNG = 60.0
"""Seconds since it was issued for which a token needs no stream: its issuer vouched for it then."""
CLOSED_AFTER = 50.0
"""Seconds without news of the stream after which only young tokens are taken. Under 60, as a line may have been under
way for a while."""
MAX_IDS = 100_000
"""Ids of one issuer, at about 250 bytes each: 25 MB. The suite's own STS, which has them kept for 90 s, would have to
revoke 1,100 times a second to come to that. Of more, the oldest are forgotten, and until those would not have mattered
any more only young tokens are taken."""
MAX_LINE = 256 * 1024
"""Bytes of a line: 500 ids of 256 characters, and room."""

_Id = Annotated[str, msgspec.Meta(max_length=256)]
_log = get_logger("security")


class RevocationLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a stream (JSON). Each is complete in itself; one without `revoked` says that nothing happened."""

    epoch: Annotated[str, msgspec.Meta(max_length=64)]
    """Names the history in which revocations are numbered; another one begins again at 0."""
    sequence: Annotated[int, msgspec.Meta(ge=0)]
    """All revocations up to this number are known to whoever has got this line and those before it."""
    keep: Annotated[int, msgspec.Meta(ge=1, le=86400)]
    """Seconds for which a revocation has to be remembered: no token lives longer."""
    not_before: int = 0
    """Tokens that were issued before that are revoked (seconds since 1970)."""
    revoked: Annotated[tuple[_Id, ...], msgspec.Meta(max_length=500)] = ()
    """Ids that tokens carry, as `sid`, `jti` or in `revocable_by`."""
    more: bool = False
    """Whether there is more that was revoked before this line was sent."""


class Revocations:
    """What is known of one issuer's revocations. The check of a token is one lookup for all its ids, and never waits.

    `clock` reads the time that passes, in seconds. Until the first news only young tokens are taken.
    """

    def __init__(self, issuer: str, clock: Callable[[], float] = trio.current_time) -> None:
        self.issuer = issuer
        self.epoch = ""
        self.sequence = 0
        self._clock = clock
        self._not_before = 0.0
        self._ids: set[str] = set()
        self._until: OrderedDict[str, float] = OrderedDict()
        self._incomplete_until = -inf
        self._made_at = clock()
        self._heard_at = -inf
        self._listeners: list[Callable[[Sequence[str]], None]] = []

    def check(self, ids: frozenset[str], issued_at: float, now: float) -> None:
        """Make sure that a token of the issuer is not over, as far as can be known.

        `ids` are those that it carries, `issued_at` and `now` seconds since 1970. Raises Unauthenticated("revoked"), or
        Unavailable("revocations-unknown") if the stream has been away too long to tell, or said more than was kept.
        """
        if not self._ids.isdisjoint(ids) or issued_at < self._not_before:
            raise Unauthenticated("revoked")
        if now > issued_at + YOUNG and not self._is_complete(self._clock()):
            msg = "whether this token was revoked cannot be known at the moment"
            raise Unavailable("revocations-unknown", msg, retry_after=5)

    def listen(self, listener: Callable[[Sequence[str]], None]) -> None:
        """Have `listener` called with ids that were revoked, once they are in force. It must not wait, nor raise.

        A session is among them by its `sid`. What was revoked while the stream was away for longer than `keep` (90 s at
        the suite's own STS) is never told, nor is that everything was: whoever keeps something longer than a JWT lives
        has to end it too when the issuer refuses its token.
        """
        self._listeners.append(listener)

    def apply(self, line: RevocationLine) -> None:
        """Take in what a line says. What is known already stays known: nothing is ever un-revoked."""
        now = self._clock()
        self._forget(now)
        for one in line.revoked:
            self._until[one] = now + line.keep
            self._until.move_to_end(one)
        self._ids.update(line.revoked)
        self._make_room(now)
        self.epoch, self.sequence = line.epoch, line.sequence
        self._not_before = max(self._not_before, line.not_before)
        if not line.more:
            self._heard_at = now
        if line.revoked:
            for listener in self._listeners:
                listener(line.revoked)

    @property
    def age(self) -> float:
        """Seconds since the last news, or without any since the start."""
        return self._clock() - max(self._heard_at, self._made_at)

    @property
    def count(self) -> int:
        """How many ids are remembered."""
        return len(self._ids)

    def _is_complete(self, now: float) -> bool:
        """Tell whether all that can still matter is known, but for what happened in the last seconds."""
        return now <= self._heard_at + CLOSED_AFTER and now >= self._incomplete_until

    def _make_room(self, now: float) -> None:
        """Forget the oldest of too many ids, and remember for how long it would have taken them to know a token."""
        if len(self._until) > MAX_IDS and now >= self._incomplete_until:
            _log.error("revocations-forgotten", issuer=self.issuer, remembered=MAX_IDS)
        while len(self._until) > MAX_IDS:
            oldest, until = self._until.popitem(last=False)
            self._ids.discard(oldest)
            self._incomplete_until = max(self._incomplete_until, until)

    def _forget(self, now: float) -> None:
        while self._until:
            oldest, until = next(iter(self._until.items()))
            if until > now:
                break
            del self._until[oldest]
            self._ids.discard(oldest)


def sequence_figure(sequence: int) -> Figure:
    """Return the figure that followers and the token service have in common."""
    return Figure(
        "ordermgmt_revocations_sequence", "gauge", "Number of the last revocation that is known.", sequence,
        together="lowest",
    )  # fmt: skip


def figures(followed: Sequence[Revocations]) -> tuple[Figure, ...]:
    """Return how far the first of them is, how fresh the one that is least so, and how much all remember."""
    if not followed:
        return ()
    age, count = max(each.age for each in followed), sum(each.count for each in followed)
    return (
        sequence_figure(followed[0].sequence),
        Figure(
            "ordermgmt_revocations_age_seconds", "gauge", "Time since the last line of the stream of revocations.", age
        ),
        Figure("ordermgmt_revocations_remembered", "gauge", "Ids of what was revoked that are remembered.", count),
    )
