"""What a query of Prometheus asks for: the metrics in it, and the labels that it uses of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Query", "read_query"]

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|\#[^\n]*)
  | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
  | (?P<range>\[[^\]]*\])
  | (?P<number>0x[0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(?:(?:ms|[smhdwy])(?:\d+(?:ms|[smhdwy]))*)?)
  | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
  | (?P<sign>=~|!~|!=|==|<=|>=|[-+*/%^<>=(){},@])
    """,
    re.VERBOSE,
)
_GROUPING = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan", "atan2"})


@dataclass
class Query:
    """Names that a query uses. `matched` has the labels between braces, by metric; `grouped` are all others."""

    metrics: set[str] = field(default_factory=set)
    matched: dict[str, set[str]] = field(default_factory=dict)
    grouped: set[str] = field(default_factory=set)


def read_query(text: str) -> Query:
    """Read a query. Raises ValueError for what is none, or has brackets that do not fit."""
    tokens = [*_tokens(text), ("end", "")]
    query, metric, place, depth = Query(), "", 0, 0
    while tokens[place][0] != "end":
        kind, token = tokens[place]
        following = tokens[place + 1][1]
        if kind == "name" and token in _GROUPING and following == "(":
            names, place = _until(tokens, place + 2, ")")
            query.grouped |= {name for kind, name in names if kind == "name"}
        elif token == "{":
            inside, place = _until(tokens, place + 1, "}")
            labels = {name for kind, name in inside if kind == "name"}
            query.matched.setdefault(metric, set()).update(labels)
        elif kind == "name" and following not in {"(", *_GROUPING} and token.lower() not in _WORDS:
            metric = token
            query.metrics.add(metric)
        depth += {"(": 1, ")": -1}.get(token, 0)
        if depth < 0:
            break
        place += 1
    if depth:
        msg = f"brackets do not fit: {text}"
        raise ValueError(msg)
    return query


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            msg = f"this is no query from {text[place:]!r} on"
            raise ValueError(msg)
        place = match.end()
        if match.lastgroup != "space":
            yield str(match.lastgroup), match[0]


def _until(tokens: list[tuple[str, str]], start: int, end: str) -> tuple[list[tuple[str, str]], int]:
    """Return what stands before the next `end`, and where that is."""
    for place in range(start, len(tokens)):
        if tokens[place][1] == end:
            return tokens[start:place], place
    msg = f"there is no {end}"
    raise ValueError(msg)
