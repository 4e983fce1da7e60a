"""How a response is written on an HTTP/1.1 connection (RFC 9112 section 6), whatever the application says of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from math import inf

import trio

from ordermgmt.net.fields import is_field_name, is_field_value

__all__ = ["ResponseWriter", "date"]

_REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
_LENGTH = re.compile(rb"[0-9]{1,15}")
_OF_THE_CONNECTION = frozenset({b"connection", b"transfer-encoding"})


class ResponseWriter:
    """One response: `bodiless` to a HEAD, in `chunks` only to who knows them, `closing` if it is the last.

    `done` tells whether it is complete, and `closing` then whether the connection must end with it.
    """

    def __init__(self, *, bodiless: bool, chunks: bool, closing: bool) -> None:
        self.started = False
        self.done = False
        self.closing = closing
        self._bodiless = bodiless
        self._chunks = chunks
        self._chunked = False
        self._left: int | None = None

    def head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return the head of a final response. Raises ValueError for one that could not be told from another."""
        fields, closing = _own(headers)
        self.closing = self.closing or closing
        self._bodiless = self._bodiless or status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
        lengths = [value for name, value in fields if name.lower() == b"content-length"]
        if len(lengths) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
            msg = "an application gave no proper length"
            raise ValueError(msg)
        if self._bodiless:
            self._left = 0
        elif lengths:
            self._left = int(lengths[0])
        elif self._chunks:
            self._chunked = True
            fields.append((b"transfer-encoding", b"chunked"))
        else:
            self.closing = True  # its end is that of the connection
        fields.append((b"date", date()))
        if self.closing:
            fields.append((b"connection", b"close"))
        self.started = True
        return render_head(status, fields)

    def body(self, data: bytes) -> bytes:
        """Return a part of the body as it goes on the wire. Raises ValueError for more than was announced."""
        if self._chunked:
            return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                msg = "an application sent more than it had announced"
                raise ValueError(msg)
        return data

    def end(self) -> bytes:
        """Return what ends the body. One that is shorter than was announced ends the connection."""
        self.done = not self._left or self._bodiless
        return b"0\r\n\r\n" if self._chunked else b""


def render_head(status: int, fields: list[tuple[bytes, bytes]]) -> bytes:
    """Render a status line with its reason phrase, and fields. Raises ValueError for a field that is none, or two."""
    for name, value in fields:
        if not (is_field_name(name) and is_field_value(value)):
            msg = "an application gave a malformed header field"
            raise ValueError(msg)
    block = b"".join([b"%b: %b\r\n" % field for field in fields])
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, _REASONS.get(status, b""), block)


class _Date:
    made_at = inf
    text = b""


def date() -> bytes:
    """Return the value of a Date field (RFC 9110 section 6.6.1), which is made at most twice a second."""
    now = trio.current_time()
    if not _Date.made_at <= now < _Date.made_at + 0.5:
        _Date.made_at, _Date.text = now, formatdate(usegmt=True).encode("ascii")
    return _Date.text


def _own(headers: Iterable[tuple[bytes, bytes]]) -> tuple[list[tuple[bytes, bytes]], bool]:
    """Leave out what is the connection's to say; tell whether the application wants it to end."""
    fields: list[tuple[bytes, bytes]] = []
    closing = False
    for name, value in headers:
        lower = name.lower()
        if lower not in _OF_THE_CONNECTION:
            fields.append((name, value))
        elif lower == b"connection" and b"close" in value.lower():
            closing = True
    return fields, closing
