"""How the body of an HTTP/1.1 request is told from what follows it (RFC 9112 sections 6.3 and 7.1)."""

from __future__ import annotations

import re
from http import HTTPStatus

from ordermgmt.net.refused import Refused

__all__ = ["MAX_CHUNK_LINE", "MAX_FRAMING", "ChunkedBody", "LengthBody", "too_large"]

MAX_CHUNK_LINE = 256
"""Bytes of a line between chunks: its size and extensions, or a trailer field. All of them are thrown away."""
MAX_FRAMING = 64 * 1024
"""Bytes of all such lines of one body. A chunk takes at least 5: 13,107 chunks, which take 20 bytes each to fill
`limits.MAX_BODY`."""

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n")


class LengthBody:
    """A body of a known length, which is not over the limit."""

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def done(self) -> bool:
        """Whether all of it is there."""
        return self._left == 0

    def take(self, received: bytearray) -> bytes:
        """Take from `received` what belongs to the body, and return it."""
        data = bytes(received[: self._left])
        del received[: len(data)]
        self._left -= len(data)
        return data


class ChunkedBody:
    """A chunked body of at most `limit` bytes, with at most `max_framing` bytes round its chunks."""

    def __init__(self, limit: float, max_framing: float = MAX_FRAMING) -> None:
        self._limit = limit
        self._max_framing = max_framing
        self._total = 0
        self._framing = 0
        self._left = 0
        self._expects = self._size
        self.done = False

    def take(self, received: bytearray) -> bytes:
        """Take from `received` all that belongs to the body, and return the data in it.

        Raises Refused, 400 or 413: as soon as a chunk is announced that does not fit, not when it has come.
        """
        data = bytearray()
        position = 0
        while not self.done:
            if self._left:
                part = received[position : position + self._left]
                if not part:
                    break
                data += part
                position += len(part)
                self._left -= len(part)
                continue
            end = received.find(b"\n", position, position + MAX_CHUNK_LINE) + 1
            if not end:
                if len(received) - position >= MAX_CHUNK_LINE:
                    raise _bad("a line between chunks is too long")
                break
            self._framing += end - position
            if self._framing > self._max_framing:
                raise _bad("there is more framing than a body needs")
            self._expects(bytes(received[position:end]))
            position = end
        del received[:position]
        return bytes(data)

    def _size(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise _bad("a chunk has no proper size")
        self._left = int(found[1], 16)
        self._total += self._left
        if self._total > self._limit:
            raise too_large(self._limit)
        self._expects = self._chunk_end if self._left else self._trailer

    def _chunk_end(self, line: bytes) -> None:
        if line != b"\r\n":
            raise _bad("a chunk does not end where it should")
        self._expects = self._size

    def _trailer(self, line: bytes) -> None:
        if line == b"\r\n":
            self.done = True
        elif not _TRAILER.fullmatch(line):
            raise _bad("a trailer field is malformed")


def too_large(limit: float) -> Refused:
    """Say that a body is over the limit."""
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "content-too-large", f"the limit is {limit} bytes")


def _bad(detail: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, "bad-framing", detail)
