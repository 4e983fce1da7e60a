"""Reading single claims of a token: each is absent, or exactly what it should be. `null` is not absent.

Every function raises Unauthenticated("invalid-<claim>").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from ordermgmt.errors import Unauthenticated
from ordermgmt.security.scopes import parse_scope

__all__ = [
    "join_ids",
    "read_actors",
    "read_audience",
    "read_ids",
    "read_object",
    "read_scopes",
    "read_text",
    "read_texts",
    "read_time",
]

MAX_TEXT = 256
MAX_VALUES = 64
MAX_ACTORS = 4
LATEST = 253402300799
"""The last second of the year 9999: a later date is an error of unit or an attempt."""

_NUMBERS = (int, float)
_UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def read_text(claims: Mapping[str, Any], name: str) -> str | None:
    """Return a string of 1 to 256 characters, none of them a control or a surrogate; None if absent."""
    if name not in claims:
        return None
    value = claims[name]
    if not _is_text(value):
        raise _invalid(name)
    return value


def read_texts(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return a list of at most 64 such strings; () if absent."""
    if name not in claims:
        return ()
    value = claims[name]
    if not isinstance(value, list) or len(value) > MAX_VALUES or not all(map(_is_text, value)):
        raise _invalid(name)
    return tuple(value)


def read_ids(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return all ids by which a token can be revoked: its own, and those of what it came of."""
    return join_ids(read_text(claims, "jti"), read_text(claims, "sid"), read_texts(claims, "revocable_by"))


def join_ids(jti: str | None, sid: str | None, revocable_by: Iterable[str]) -> frozenset[str]:
    """Return those of them that there are, for who has read them already."""
    return frozenset(filter(None, (jti, sid, *revocable_by)))


def read_time(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a NumericDate (RFC 7519 section 2): a number, with or without a fraction, up to the year 9999.

    None if absent. A boolean, which Python takes for a number, is none.
    """
    if name not in claims:
        return None
    value = claims[name]
    if type(value) not in _NUMBERS or not 0 <= value <= LATEST:
        raise _invalid(name)
    return float(value)


def read_object(claims: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """Return an object; None if absent."""
    if name not in claims:
        return None
    value = claims[name]
    if not isinstance(value, dict):
        raise _invalid(name)
    return value


def read_audience(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return `aud`, which is a string or a list of strings (RFC 7519 section 4.1.3). Also raises `missing-aud`."""
    if "aud" not in claims:
        raise Unauthenticated("missing-aud")
    value = claims["aud"]
    return frozenset((value,) if _is_text(value) else read_texts(claims, "aud"))


def read_scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return `scope`, which is a string (RFC 8693 section 4.2) or a list; empty if absent."""
    try:
        return parse_scope(claims.get("scope", ""))
    except ValueError as error:
        raise Unauthenticated("invalid-scope", str(error)) from error


def read_actors(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the subjects of the `act` chain (RFC 8693 section 4.1), at most 4, the current actor first."""
    actors: list[str] = []
    level = claims
    while "act" in level:
        act = level["act"]
        if not isinstance(act, dict) or not _is_text(act.get("sub")) or len(actors) == MAX_ACTORS:
            raise Unauthenticated("invalid-act")
        actors.append(act["sub"])
        level = act
    return tuple(actors)


def _invalid(name: str) -> Unauthenticated:
    return Unauthenticated(f"invalid-{name}")


def _is_text(value: object) -> TypeGuard[str]:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        return False
    return value.isprintable() or _UNSPEAKABLE.search(value) is None  # most are, and it is far cheaper to tell
