"""The one place that renders errors as HTTP answers, and reads them back: RFC 9457 problem+json."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from ordermgmt import errors

__all__ = ["CONTENT_TYPE", "TYPE_PREFIX", "parse", "refuse", "render"]

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:ordermgmt:problem:"

_BY_STATUS: Mapping[int, type[errors.Error]] = {
    kind.status: kind
    for kind in (
        errors.InvalidRequest,
        errors.NotFound,
        errors.Conflict,
        errors.PreconditionFailed,
        errors.ContentTooLarge,
        errors.UnsupportedMediaType,
        errors.UnprocessableContent,
        errors.TooManyRequests,
        errors.Internal,
        errors.Unavailable,
        errors.OutcomeUnknown,
    )
}
_STANDARD = frozenset({"type", "title", "status", "detail", "instance"})


def render(error: errors.Error) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return status, headers and body for an error.

    401 and 403 have an empty body: what they say is in their challenge, which whoever guards the resource
    adds because only it knows its realm (RFC 6750 section 3).
    """
    if isinstance(error, errors.Unauthenticated | errors.Forbidden):
        return error.status, [("content-length", "0")], b""
    headers, body = _document(error.status, error.title, error.code, error.detail, error.members)
    if error.retry_after is not None:
        headers.append(("retry-after", str(error.retry_after)))
    if isinstance(error, errors.MethodNotAllowed) and error.allow:
        headers.append(("allow", ", ".join(error.allow)))
    return error.status, headers, body


def refuse(status: HTTPStatus, code: str, detail: str) -> tuple[list[tuple[str, str]], bytes]:
    """Return headers and body for a request that no application sees."""
    return _document(status.value, status.phrase, code, detail, {})


def _document(
    status: int, title: str, code: str, detail: str, members: Mapping[str, errors.Member]
) -> tuple[list[tuple[str, str]], bytes]:
    document: dict[str, Any] = {"type": TYPE_PREFIX + code, "title": title, "status": status}
    if detail:
        document["detail"] = detail
    document.update((name, value) for name, value in members.items() if name not in _STANDARD)
    body = msgspec.json.encode(document)
    return [("content-type", CONTENT_TYPE), ("content-length", str(len(body)))], body


def parse(status: int, headers: Mapping[str, str], body: bytes) -> errors.Error:
    """Read an answer with an error status of another service of ours back into the error it was made from.

    `headers` has lower-case names. An answer that no service of ours gives becomes `Unavailable`.
    """
    if status == errors.Unauthenticated.status:
        return errors.Unauthenticated("upstream-unauthenticated")
    if status == errors.Forbidden.status:
        return errors.Forbidden("upstream-forbidden")
    kind = _BY_STATUS.get(status)
    if kind is None or headers.get("content-type") != CONTENT_TYPE:
        return errors.Unavailable("upstream-rubbish", f"an upstream service answered {status} without a reason")
    try:
        document = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return errors.Unavailable("upstream-rubbish", f"an upstream service answered {status} with a broken reason")
    retry_after = headers.get("retry-after", "")
    return kind(
        str(document.get("type", "")).removeprefix(TYPE_PREFIX),
        str(document.get("detail", "")),
        retry_after=int(retry_after) if retry_after.isascii() and retry_after.isdigit() else None,
        members={
            name: value
            for name, value in document.items()
            if name not in _STANDARD and isinstance(value, str | int | float | bool | None)
        },
    )
