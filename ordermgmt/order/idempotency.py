"""The Idempotency-Key of a change: what it is, and what it stands for.

See draft-ietf-httpapi-idempotency-key-header-07.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from ordermgmt.errors import InvalidRequest, UnprocessableContent

__all__ = ["KEPT", "MAX_KEY", "IdempotencyKey", "check_same", "fingerprint", "parse"]

MAX_KEY = 255
KEPT = 24 * 3600.0
"""Seconds that an outcome is kept for its key, from when it was known."""

# A String of RFC 8941 section 3.3.3, or the same without quotes, as many clients send it.
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_BARE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's name for one change, and the fingerprint of what it asked for under it."""

    text: str
    fingerprint: str


def parse(values: Sequence[str]) -> str | None:
    """Return the key of a request with these Idempotency-Key headers; None if there is none.

    `"abc"` and `abc` are the same key. Raises InvalidRequest for anything but one key of 1 to 255 printable
    ASCII characters.
    """
    if not values:
        return None
    text = values[0].strip(" \t") if len(values) == 1 else ""
    if (quoted := _QUOTED.fullmatch(text)) is not None:
        text = re.sub(r"\\(.)", r"\1", quoted[1])
    elif not _BARE.fullmatch(text):
        text = ""
    if not 1 <= len(text) <= MAX_KEY:
        msg = f"Idempotency-Key must be one quoted string of 1 to {MAX_KEY} printable ASCII characters"
        raise InvalidRequest("invalid-idempotency-key", msg)
    return text


def fingerprint(target: str, body: msgspec.Struct | None = None) -> str:
    """Return what tells one request from another under the same key: its target, and what its body means."""
    digest = hashlib.sha256(target.encode() + b"\n")
    if body is not None:
        digest.update(msgspec.json.encode(body))
    return digest.hexdigest()


def check_same(used_for: IdempotencyKey | None, key: IdempotencyKey) -> None:
    """Raise UnprocessableContent if the key was used for another request before."""
    if used_for is not None and used_for.fingerprint != key.fingerprint:
        msg = "this Idempotency-Key was used for another request; a new request needs a new key"
        raise UnprocessableContent("idempotency-key-reused", msg)
