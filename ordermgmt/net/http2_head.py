"""The head of a request in HTTP/2, by the rules of HTTP/1.1 where they are the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

from ordermgmt.net.refused import Refused
from ordermgmt.net.request_head import MAX_FIELDS, MAX_HEAD, check_host, check_target

__all__ = ["Fields", "Http2Head", "are_well_formed", "read_fields"]

Fields = list[tuple[bytes, bytes]]

FIELD_OVERHEAD = 32
"""What a field counts for beside its bytes (RFC 9113 section 6.5.2)."""
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_LENGTH = re.compile(rb"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Http2Head:
    """A request: `fields` as an application takes them, with a `host` made from the authority."""

    method: bytes
    target: bytes
    length: int
    expects_continue: bool
    fields: Fields


def read_fields(received: Fields) -> Http2Head:
    """Read the fields of a request. Raises Refused with the statuses of `request_head.read_head`.

    h2 has refused what RFC 9113 sections 8.2 and 8.3 call malformed: fields of the connection, pseudo-fields twice.
    """
    if len(received) > MAX_FIELDS or sum(len(n) + len(v) + FIELD_OVERHEAD for n, v in received) > MAX_HEAD:
        detail = f"the limits are {MAX_FIELDS} fields and {MAX_HEAD} bytes"
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "fields-too-large", detail)
    pseudo = {name: value for name, value in received if name.startswith(b":")}
    fields = [(name, value) for name, value in received if not name.startswith(b":")]
    if not are_well_formed(fields):
        raise _bad("bad-field", "a header field is malformed")
    hosts = {value for name, value in fields if name == b"host"} | (
        {pseudo[b":authority"]} if b":authority" in pseudo else set()
    )
    if len(hosts) != 1:
        raise _bad("bad-host", "there must be exactly one authority")
    host = check_host(hosts.pop())
    method, path = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
    target = check_target(method, path, None)
    if b":protocol" in pseudo:
        raise Refused(HTTPStatus.NOT_IMPLEMENTED, "upgrade-not-implemented", "no other protocol is spoken here")
    expectations = [value.lower() for name, value in fields if name == b"expect"]
    if any(value != b"100-continue" for value in expectations):
        raise Refused(HTTPStatus.EXPECTATION_FAILED, "expectation-failed", "only 100-continue can be expected")
    fields = [(b"host", host), *((name, value) for name, value in fields if name != b"host")]
    return Http2Head(method, target, _length(fields), bool(expectations), fields)


def are_well_formed(fields: Fields) -> bool:
    """Tell whether fields have only characters that belong there (RFC 9110 section 5, RFC 9113 section 8.2.1)."""
    return all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in fields)


def _length(fields: Fields) -> int:
    lengths = [value for name, value in fields if name == b"content-length"]
    if len(lengths) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
        raise _bad("bad-framing", "Content-Length must be one number")
    return int(lengths[0]) if lengths else 0


def _bad(code: str, detail: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, code, detail)
