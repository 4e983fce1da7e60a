"""The closed set of errors that may cross a border: between rooms, services and processes.

`net/problem.py` is the one place that renders them as HTTP (RFC 9457) and reads them back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

__all__ = [
    "Conflict",
    "ContentTooLarge",
    "CrossSite",
    "Error",
    "Forbidden",
    "Internal",
    "InvalidRequest",
    "MethodNotAllowed",
    "NotFound",
    "OutcomeUnknown",
    "PreconditionFailed",
    "RequestTimeout",
    "StartError",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "UnprocessableContent",
    "UnsupportedMediaType",
]

Member = str | int | float | bool | None


class Error(Exception):
    """A failure that a caller may see.

    `code` is stable and machine-readable (`order-exists`), `detail` says what is wrong with this very
    request and never holds a secret, `members` are extra members of the problem document.
    `retry_after` is in seconds.
    """

    status: ClassVar[int]
    title: ClassVar[str]

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        retry_after: int | None = None,
        members: Mapping[str, Member] | None = None,
    ) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        self.members = dict(members or {})

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else self.code


class InvalidRequest(Error):
    """The request itself is malformed."""

    status = 400
    title = "Bad Request"


class Unauthenticated(Error):
    """No credentials, or credentials that prove nothing.

    `code` names the reason for the log; the answer only ever says `invalid_token` (RFC 6750 section 3.1),
    and nothing at all when no token was sent (`code` is then `no-token`).
    """

    status = 401
    title = "Unauthorized"


class Forbidden(Error):
    """Authenticated, but not allowed. `scope` is what would have been needed (RFC 6750 section 3.1)."""

    status = 403
    title = "Forbidden"

    def __init__(self, code: str, detail: str = "", *, scope: str | None = None) -> None:
        super().__init__(code, detail)
        self.scope = scope


class CrossSite(Error):
    """A change that a page of another site may have asked for, with the cookies of somebody who did not mean it."""

    status = 403
    title = "Forbidden"


class NotFound(Error):
    """There is no such thing, or none that the caller may know of."""

    status = 404
    title = "Not Found"


class MethodNotAllowed(Error):
    """The resource exists but does not take this method; `allow` lists those that it takes."""

    status = 405
    title = "Method Not Allowed"

    def __init__(self, code: str, detail: str = "", *, allow: tuple[str, ...] = ()) -> None:
        super().__init__(code, detail)
        self.allow = allow


class RequestTimeout(Error):
    """The client was too slow in sending its request."""

    status = 408
    title = "Request Timeout"


class Conflict(Error):
    """The state of the resource does not permit this: it exists, is in progress, or stock is short."""

    status = 409
    title = "Conflict"


class PreconditionFailed(Error):
    """If-Match does not match the current version."""

    status = 412
    title = "Precondition Failed"


class ContentTooLarge(Error):
    """The request body is over the limit."""

    status = 413
    title = "Content Too Large"


class UnsupportedMediaType(Error):
    """The request body is not of a type that is understood here."""

    status = 415
    title = "Unsupported Media Type"


class UnprocessableContent(Error):
    """Well-formed, but means something that cannot be (RFC 9110 section 15.5.21)."""

    status = 422
    title = "Unprocessable Content"


class TooManyRequests(Error):
    """A limit was reached; `retry_after` says when to come back."""

    status = 429
    title = "Too Many Requests"


class Internal(Error):
    """A fault of ours. The cause is in the log, never in the answer."""

    status = 500
    title = "Internal Server Error"


class Unavailable(Error):
    """Nothing was done, and nothing will be: the request may be sent again as it is."""

    status = 503
    title = "Service Unavailable"


class OutcomeUnknown(Error):
    """The caller's time ended before the outcome was known; it may have been done."""

    status = 504
    title = "Gateway Timeout"


class StartError(Exception):
    """Why a command or a start cannot go on: one line for a person, and a non-zero exit."""
