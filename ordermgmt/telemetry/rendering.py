"""How a line of the log looks: JSON for programs, colours for a terminal. No value can forge a line or a key."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

import msgspec

__all__ = ["render_json", "render_pretty"]

OMISSION = " ... "
SHORTEST = 64
"""Characters of a value that is never shortened."""

_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31;1"}
_HEAD = ("timestamp", "level", "service", "event")
_PLAIN = frozenset({str, int, float, bool, type(None)})

# Everything but ASCII is escaped, which includes every separator, bidi and surrogate character.
_encode_any = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=str, check_circular=False).encode


def render_json(event: MutableMapping[str, Any], longest: int | None) -> str:
    """Render one object of JSON on one line of printable ASCII, time, level, service and event first.

    It is at most `longest` characters, None for any: of what is longer the middle of its longest values is left out,
    because a text starts with what happened, and a traceback ends with why.
    """
    line: dict[str, Any] = dict.fromkeys(_HEAD, "-")  # these come first
    for name, value in event.items():
        line[name] = value if type(value) in _PLAIN else _plain(value)
    encoded = _print(line)
    while longest is not None and len(encoded) > longest and _shorten(line):
        encoded = _print(line)
    return encoded


def _plain(value: object) -> object:
    """Return what JSON has a form for; anything else is what it says of itself, which a secret does not show."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    return str(value)


def _print(line: dict[str, Any]) -> str:
    try:
        fast = msgspec.json.encode(line)
    except (OverflowError, UnicodeEncodeError):
        fast = b"\x7f"
    # DEL is the one unprintable character of ASCII that JSON leaves.
    if fast.isascii() and b"\x7f" not in fast:
        return fast.decode("ascii")
    return _encode_any(line).replace("\x7f", "\\u007f")


def _shorten(line: dict[str, Any]) -> bool:
    """Leave out the middle of what takes most; False if nothing is left that is long."""
    texts = {name: value if isinstance(value, str) else _encode_any(value) for name, value in line.items()}
    longest = max(texts, key=lambda name: len(texts[name]))
    text = texts[longest]
    if len(text) <= SHORTEST:
        return False
    quarter = len(text) * 3 // 8
    line[longest] = text[:quarter] + OMISSION + text[-quarter:]
    return True


def render_pretty(event: MutableMapping[str, Any]) -> str:
    """Render for a person: pairs in colour, and a traceback below its line."""
    level = event.pop("level")
    traceback = str(event.pop("exception", ""))
    parts = [
        _colour("2", _quote(event.pop("timestamp"))),
        _colour(_COLOURS.get(level, "0"), f"{level:<8}"),
        _colour("36", f"{_quote(event.pop('service', '-')):<10}"),
        _colour("1", _escape(str(event.pop("event")))),
    ]
    parts += [f"{_colour('2', _quote(key) + '=')}{_quote(value)}" for key, value in event.items()]
    below = [f"    {_escape(line)}" for line in traceback.splitlines()]
    return "\n".join([" ".join(parts), *below])


def _colour(code: str, text: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m"


def _quote(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not any(character in text for character in " \"'=\\"):
        return text
    escaped = _escape(text.replace("\\", "\\\\").replace('"', '\\"'))
    return f'"{escaped}"'


def _escape(text: str) -> str:
    """Write what is unprintable, which includes every control, separator, bidi and surrogate character, as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
