"""What a header field may be made of (RFC 9110 section 5), told at the speed of a copy.

A regular expression takes 10 ns for each byte; a token has 800, and is in the head of every request.
"""

from __future__ import annotations

__all__ = ["is_field_name", "is_field_value"]

_OF_NAMES = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_OF_VALUES = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))


def is_field_name(name: bytes) -> bool:
    """Tell whether it is a token."""
    return bool(name) and not name.translate(None, _OF_NAMES)


def is_field_value(value: bytes) -> bool:
    """Tell whether all of it is printable, white space, or beyond ASCII; it may be empty."""
    return not value.translate(None, _OF_VALUES)
