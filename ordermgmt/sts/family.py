"""Families of tokens: all that came of one authorization code, and what a refresh token that comes back means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from ordermgmt.sts.contract import INVALID_GRANT, OAuthError
from ordermgmt.sts.domain import Authority

__all__ = ["CompromisedError", "Family", "Presented", "judge"]


@dataclass(frozen=True, slots=True)
class Family:
    """All tokens of one authorization code. Times are seconds since 1970."""

    id: str
    authority: Authority
    """The most that any of its tokens can say; it ends when the family does if it is not refreshed before."""
    expires_at: int
    """When it ends however often it is refreshed."""
    current: str = ""
    """Digest of the one refresh token that is good. Empty: it has none."""
    previous: str = ""
    """Digest of the one before."""
    rotated_at: int = 0
    """When the one took the other's place."""
    ended: bool = False
    """Whether it, or its session, was ended."""

    def with_current(self, digest: str) -> Family:
        """Return the family with its first refresh token."""
        return replace(self, current=digest)


class CompromisedError(OAuthError):
    """A code or refresh token that came a second time: whoever catches it ends the family `family_id`."""

    def __init__(self, family_id: str, description: str) -> None:
        super().__init__(INVALID_GRANT, description)
        self.family_id = family_id


class Presented(Enum):
    """What a refresh token of a family is when it is presented."""

    CURRENT = "current"
    """It may be used."""
    REPEATED = "repeated"
    """Its successor may not have arrived, so it may be used again; the successor dies."""
    REUSED = "reused"
    """Somebody has a copy: the family ends (RFC 9700 section 4.14.2)."""
    DEAD = "dead"
    """It or its family has ended."""


def judge(family: Family, digest: str, now: float, grace: int) -> Presented:
    """Tell what the refresh token of this digest, which is or was one of `family`, is now.

    `grace` is for how many seconds after a rotation the immediate predecessor may come back.
    """
    if family.ended or family.authority.expires_at <= now:
        return Presented.DEAD
    if digest == family.current:
        return Presented.CURRENT
    if digest == family.previous and now <= family.rotated_at + grace:
        return Presented.REPEATED
    return Presented.REUSED
