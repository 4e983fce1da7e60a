"""Scopes: what a token allows, as it is written in tokens, requests and challenges."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

__all__ = ["MAX_SCOPES", "parse_scope", "render_scope"]

MAX_SCOPES = 64
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}", re.ASCII)


def parse_scope(value: object) -> frozenset[str]:
    """Read a space-separated string or a list of strings; an empty one holds no scope.

    One space separates, and nothing else does: a tab, a second space or U+3000 is not part of the grammar of
    RFC 6749 section 3.3, and a scope of a list holds no space. At most 64 scopes of at most 128 characters.
    Raises ValueError.
    """
    if isinstance(value, str):
        return _parse_text(value)
    if isinstance(value, list):
        return _check(value)
    msg = "scope is neither a string nor a list"
    raise ValueError(msg)


@lru_cache(maxsize=256)
def _parse_text(text: str) -> frozenset[str]:
    """Remember what most tokens say. What is refused is not kept, and 64 scopes are 8 KiB at most: 2 MiB."""
    return _check(text.split(" ", MAX_SCOPES) if text else [])


def _check(tokens: Sequence[object]) -> frozenset[str]:
    if len(tokens) > MAX_SCOPES:
        msg = "too many scopes"
        raise ValueError(msg)
    scopes: set[str] = set()
    for token in tokens:
        if not isinstance(token, str) or _SCOPE_TOKEN.fullmatch(token) is None:
            msg = "not a scope-token"
            raise ValueError(msg)
        scopes.add(token)
    return frozenset(scopes)


def render_scope(scopes: Iterable[str]) -> str:
    """Write scopes as one string, sorted, so that the same scopes always look the same."""
    return " ".join(sorted(scopes))
