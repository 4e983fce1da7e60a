"""What requests say of the trace that they are part of: the headers of W3C Trace Context, read and written.

Version 00 is written (https://www.w3.org/TR/trace-context/, sections 3.2 and 3.3). What cannot be read is nothing: whoever
reads it begins a new trace, and no request fails for it.
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
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)
_KEY = rb"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_MEMBER = re.compile(_KEY + rb"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


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
    found = _TRACEPARENT.fullmatch(traceparents[0])
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    sampled = bool(int(found[4], 16) & SAMPLED)
    return TraceContext(found[2].decode(), found[3].decode(), sampled, _parse_state(tracestates))


def _parse_state(values: Sequence[bytes]) -> str:
    members = [member for value in values for part in value.split(b",") if (member := part.strip(b" \t"))]
    if not 0 < len(members) <= MAX_MEMBERS or not all(map(_MEMBER.fullmatch, members)):
        return ""
    state = b",".join(members)
    return state.decode() if len(state) <= MAX_STATE else ""


def render(context: TraceContext) -> list[tuple[str, str]]:
    """Return the header fields that say it; no flag but `sampled` is known, so none is sent."""
    fields = [(TRACEPARENT, f"00-{context.trace_id}-{context.span_id}-{'01' if context.sampled else '00'}")]
    if context.state:
        fields.append((TRACESTATE, context.state))
    return fields
