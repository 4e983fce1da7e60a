"""What requests say of the trace that they are part of: the headers of W3C Trace Context, read and written.

Version 00 is written (https://www.w3.org/TR/trace-context/, sections 3.2 and 3.3). What cannot be read is nothing:
whoever reads it begins a new trace, and no request fails for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["MAX_STATE", "TRACEPARENT", "TRACESTATE", "TraceContext", "parse", "render"]

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
MAX_STATE = 512
"""Characters of a tracestate that are passed on; section 3.3.1.5 lets a longer one be dropped."""
MAX_MEMBERS = 32
SAMPLED = 0x01

_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)
_KEY = r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_MEMBER = re.compile(_KEY + r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


class TraceContext(NamedTuple):
    """Where in which trace a request was sent: ids in lower-case hexadecimal, of 32 and of 16 digits.

    `sampled` tells whether its sender may have recorded it. `state` is what others want passed on with it.
    """

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""


def parse(traceparents: Sequence[bytes], tracestates: Sequence[bytes] = ()) -> TraceContext | None:
    """Read the values of all fields of either name; None if there is no trace, or it cannot be known which.

    A version above 00 is read as far as 00 goes (section 4). A tracestate without a good traceparent means nothing, and
    a bad one is dropped alone.
    """
    if len(traceparents) != 1:
        return None
    found = _TRACEPARENT.fullmatch(traceparents[0].decode("latin-1"))
    if found is None or (found[1] == "00" and found[5] is not None):
        return None
    sampled = bool(int(found[4], 16) & SAMPLED)
    return TraceContext(found[2], found[3], sampled, _parse_state(tracestates) if tracestates else "")


def _parse_state(values: Sequence[bytes]) -> str:
    text = ",".join([value.decode("latin-1") for value in values])
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    if not 0 < len(members) <= MAX_MEMBERS or not all(map(_MEMBER.fullmatch, members)):
        return ""
    state = ",".join(members)
    return state if len(state) <= MAX_STATE else ""


def render(trace_id: str, span_id: str, state: str, *, sampled: bool) -> list[tuple[str, str]]:
    """Return the header fields of a request of this span; no flag but `sampled` is known, so no other is sent."""
    parent = (TRACEPARENT, f"00-{trace_id}-{span_id}-{'01' if sampled else '00'}")
    return [parent, (TRACESTATE, state)] if state else [parent]
