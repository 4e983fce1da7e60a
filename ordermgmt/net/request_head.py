"""What the head of a request must look like before a parser sees it.

Parsers forgive; two that forgive differently let one request be smuggled inside another (RFC 9112 section 11.2).
So everything that a lenient reader might take in another way is refused here, byte by byte.
"""

from __future__ import annotations

import re
from http import HTTPStatus

__all__ = ["MAX_FIELDS", "MAX_HEAD", "MAX_REQUEST_LINE", "refusal"]

MAX_REQUEST_LINE = 8 * 1024
"""Bytes of a request line: longer targets are made by nobody who uses this API (RFC 9112 section 3)."""
MAX_FIELDS = 100
"""Header fields of a request; a browser sends about 20."""

MAX_HEAD = 16 * 1024
"""Bytes of a whole head: the longest request line, and a token of the longest that is accepted."""

_END = re.compile(rb"\n\r?\n")
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")
_FOLDED = re.compile(rb"\n[ \t]")


def refusal(received: bytes) -> HTTPStatus | None:
    """Return the status with which a request is refused, or None if what was received of its head is well-formed.

    `received` starts where the request does; it may stop anywhere, and what follows the head is not looked at.
    A line that does not end in CRLF (section 2.2), one that continues the line before it (section 5.2) and a NUL
    are 400, a request line that is too long is 414, and fields that are too many or too long are 431 (RFC 6585
    section 5).
    """
    start = 2 if received.startswith(b"\r\n") else 0  # section 2.2: one empty line before a request is ignored
    end = _END.search(received, start)
    head = received[start : end.end() if end else len(received)]
    if _BARE.search(head) or _FOLDED.search(head) or b"\0" in head:
        return HTTPStatus.BAD_REQUEST
    line = head.find(b"\n")
    if (line if line >= 0 else len(head)) > MAX_REQUEST_LINE:
        return HTTPStatus.REQUEST_URI_TOO_LONG
    if len(head) > MAX_HEAD or head.count(b"\n") > MAX_FIELDS + 2:  # the request line and the empty line at the end
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return None
