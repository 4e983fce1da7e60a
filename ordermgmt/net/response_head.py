"""The head of an answer, and how its body is told from what follows (RFC 9112 sections 4 and 6.3)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from ordermgmt.net.exchange import Interrupted
from ordermgmt.net.fields import is_field_name, is_field_value

__all__ = ["MAX_RESPONSE_HEAD", "ResponseHead", "read_response_head"]

MAX_RESPONSE_HEAD = 64 * 1024
"""Bytes; those of our services have under 1 KiB."""

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?")
_LENGTH = re.compile(r"[0-9]{1,15}")
_BODILESS = frozenset({204, 304})


class ResponseHead(msgspec.Struct, frozen=True):
    """What a connection has to know of an answer.

    `length` is that of its body, None up to the end of the connection; it means nothing if `chunked`. `keeps` tells
    whether the connection may be used again.
    """

    status: int
    headers: Mapping[str, str]
    length: int | None
    chunked: bool
    keeps: bool


def read_response_head(head: bytes, method: str) -> ResponseHead:
    """Read a complete head, to the end of its empty line, of the answer to a `method`.

    Of a field that came more than once the values are joined (RFC 9110 section 5.3). Raises Interrupted for one that
    is malformed, or that could be framed in two ways.
    """
    line, *lines = head[:-4].split(b"\r\n")
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        raise _bad("its status line is malformed")
    status = int(found[2])
    headers: dict[str, str] = {}
    for each in lines:
        raw_name, colon, raw_value = each.partition(b":")
        if not (colon and is_field_name(raw_name) and is_field_value(raw_value)):
            raise _bad("a header field is malformed")
        name, value = raw_name.decode("ascii").lower(), raw_value.decode("latin-1").strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    length, chunked = _framing(headers)
    if method == "HEAD" or status in _BODILESS or status < 200:
        length, chunked = 0, False
    closing = "close" in headers.get("connection", "").lower().replace(" ", "").split(",")
    keeps = found[1] == b"1" and not closing and (chunked or length is not None)
    return ResponseHead(status, headers, length, chunked, keeps)


def _framing(headers: Mapping[str, str]) -> tuple[int | None, bool]:
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if coding.lower() != "chunked" or length is not None:
            raise _bad("the length of its body is not clear")
        return None, True
    if length is None:
        return None, False
    if not _LENGTH.fullmatch(length):
        raise _bad("its Content-Length is no number")
    return int(length), False


def _bad(what: str) -> Interrupted:
    return Interrupted(f"the answer makes no sense: {what}")
