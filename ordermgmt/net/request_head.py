"""What the head of a request must look like before a parser sees it.

Parsers forgive; two that forgive differently let one request be smuggled inside another (RFC 9112 section 11.2).
So everything that a lenient reader might take in another way is refused here, byte by byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from ordermgmt.net.fields import is_field_name, is_field_value
from ordermgmt.net.refused import Refused

__all__ = ["MAX_FIELDS", "MAX_HEAD", "MAX_REQUEST_LINE", "Head", "check_start", "check_target", "find_end", "read_head"]

MAX_REQUEST_LINE = 8 * 1024
"""Bytes of a request line: longer targets are made by nobody who uses this API (RFC 9112 section 3)."""
MAX_FIELDS = 100
"""Header fields of a request; a browser sends about 20."""
MAX_HEAD = 16 * 1024
"""Bytes of a whole head: the longest request line, and a token of the longest that is accepted."""

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_END = re.compile(rb"\n\r?\n")
_START = re.compile(_TOKEN)
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb"+) ([^ ]+) HTTP/([0-9]\.[0-9])")
_METHOD = re.compile(rb"[A-Z][A-Z_-]{0,31}")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_TARGET = re.compile(rb"[\x21\x22\x24-\x7e]+")  # printable ASCII without "#"
_ABSOLUTE = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE)
_LENGTH = re.compile(rb" ?([0-9]{1,15})")
_CHUNKED = re.compile(rb" ?chunked", re.IGNORECASE)


class Head(msgspec.Struct, frozen=True):
    """What the connection has to know of a well-formed head.

    `target` is in origin form, or `*`. `length` is that of the body, 0 without one; it means nothing if `chunked`.
    `fields` are as an application takes them: names in lower case, values without the white space around them.
    `is_current` tells HTTP/1.1 from 1.0, `keeps` whether the client wants the connection to stay, `expects_continue`
    whether it waits to be asked for the body.
    """

    method: bytes
    target: bytes
    length: int
    chunked: bool
    fields: list[tuple[bytes, bytes]]
    is_current: bool
    keeps: bool
    expects_continue: bool


def find_end(received: bytes | bytearray, start: int = 0) -> int:
    """Return where the head ends, -1 if more of it has to come. What is before `start` has been looked at."""
    end = _END.search(received, max(0, start - 2))
    return end.end() if end else -1


def check_start(received: bytes | bytearray) -> None:
    """Refuse the start of a head that no continuation makes a good one: it is no HTTP, or too long already."""
    if received and not _START.match(received):
        raise _bad("bad-request-line", "this is not a request")
    if len(received) > MAX_REQUEST_LINE and received.find(b"\n", 0, MAX_REQUEST_LINE + 2) < 0:
        raise _long_line()
    if len(received) > MAX_HEAD:
        raise _long_fields()


def read_head(head: bytes) -> Head:
    """Read a complete head, to the end of its empty line. Raises Refused.

    400: a line that does not end in CRLF (RFC 9112 section 2.2) or continues the line before it (5.2), a character
    that does not belong there (5.1, RFC 9110 section 5.5), a target or Host (3.2) or framing (6) that can be read in
    two ways.
    405: CONNECT. 414, 431 (RFC 6585 section 5): too long or too many. 417, 501, 505: not spoken here.
    """
    ends = head.count(b"\r\n")
    if not ends == head.count(b"\n") == head.count(b"\r") or b"\n " in head or b"\n\t" in head:
        raise _bad("bad-line", "a line does not end in CRLF, or continues another")
    line, *lines = head[:-4].split(b"\r\n")
    if len(line) > MAX_REQUEST_LINE:
        raise _long_line()
    if len(head) > MAX_HEAD or len(lines) > MAX_FIELDS:
        raise _long_fields()
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        raise _bad("bad-request-line", "the request line is malformed")
    method, target, version = found.groups()
    if version not in {b"1.0", b"1.1"}:
        raise Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "version-not-supported", "HTTP/1.1 is spoken here")
    listed = _fields(lines)
    fields = _by_name(listed)
    host = _host(fields, version)
    target = check_target(method, target, host)
    _check_offers(fields)
    length, chunked = _framing(fields, version)
    is_current = version == b"1.1"
    closing = any(b"close" in _tokens(value) for value in fields.get(b"connection", ()))
    return Head(
        method,
        target,
        length,
        chunked,
        fields=[(name, value.strip(b" \t")) for name, value in listed],
        is_current=is_current,
        keeps=is_current and not closing,
        expects_continue=is_current and b"expect" in fields,
    )


def check_target(method: bytes, target: bytes, host: bytes | None) -> bytes:
    """Return the target in origin form, or `*`. Raises Refused; RFC 9112 section 3.2, the same for RFC 9113."""
    if not _METHOD.fullmatch(method):
        raise _bad("bad-method", "there is no such method")
    if method == b"CONNECT":
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed", "this is no proxy")
    if len(target) > MAX_REQUEST_LINE:
        raise _long_line()
    if not _TARGET.fullmatch(target):
        raise _bad("bad-target", "the target has characters that do not belong there")
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or host is None or absolute[1].lower() != host.lower():
        raise _bad("bad-target", "the target must be a path")
    rest: bytes = absolute[2]
    return rest if rest.startswith(b"/") else b"/" + rest


def check_host(host: bytes) -> bytes:
    """Return what names the server. Raises Refused."""
    if not _HOST.fullmatch(host):
        raise _bad("bad-host", "the host is malformed")
    return host


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Read fields; values keep the white space around them."""
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not (colon and is_field_name(name) and is_field_value(value)):
            raise _bad("bad-field", "a header field is malformed")
        fields.append((name.lower(), value))
    return fields


def _by_name(listed: list[tuple[bytes, bytes]]) -> Mapping[bytes, list[bytes]]:
    fields: dict[bytes, list[bytes]] = {}
    for name, value in listed:
        fields.setdefault(name, []).append(value)
    return fields


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip(b" \t") for token in value.lower().split(b",")]


def _host(fields: Mapping[bytes, list[bytes]], version: bytes) -> bytes | None:
    hosts = fields.get(b"host", [])
    if not hosts and version == b"1.0":
        return None
    if len(hosts) != 1:
        raise _bad("bad-host", "there must be exactly one Host")
    return check_host(hosts[0].strip(b" \t"))


def _check_offers(fields: Mapping[bytes, list[bytes]]) -> None:
    for value in fields.get(b"upgrade", []):
        if {offer.strip().lower() for offer in value.split(b",")} & {b"h2c", b"websocket"}:
            raise Refused(HTTPStatus.NOT_IMPLEMENTED, "upgrade-not-implemented", "no other protocol is spoken here")
    if any(value.strip(b" \t").lower() != b"100-continue" for value in fields.get(b"expect", [])):
        raise Refused(HTTPStatus.EXPECTATION_FAILED, "expectation-failed", "only 100-continue can be expected")


def _framing(fields: Mapping[bytes, list[bytes]], version: bytes) -> tuple[int, bool]:
    codings, lengths = fields.get(b"transfer-encoding", []), fields.get(b"content-length", [])
    if len(codings) + len(lengths) > 1 or (codings and version == b"1.0"):
        raise _bad("bad-framing", "the length of the body is not clear")
    if codings:
        if not _CHUNKED.fullmatch(codings[0]):
            if b"chunked" in codings[0].lower().split(b",")[0]:
                raise _bad("bad-framing", "the length of the body is not clear")
            raise Refused(HTTPStatus.NOT_IMPLEMENTED, "coding-not-implemented", "only chunked is understood")
        return 0, True
    if not lengths:
        return 0, False
    length = _LENGTH.fullmatch(lengths[0])
    if length is None:
        raise _bad("bad-framing", "Content-Length must be one number")
    return int(length[1]), False


def _bad(code: str, detail: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, code, detail)


def _long_line() -> Refused:
    return Refused(HTTPStatus.REQUEST_URI_TOO_LONG, "target-too-long", f"the limit is {MAX_REQUEST_LINE} bytes")


def _long_fields() -> Refused:
    detail = f"the limits are {MAX_FIELDS} fields and {MAX_HEAD} bytes"
    return Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "fields-too-large", detail)
