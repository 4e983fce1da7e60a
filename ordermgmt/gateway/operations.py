"""What the gateway does with a request: exchange its token, pass it on, bring the answer back."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

import trio

from ordermgmt.errors import Forbidden, OutcomeUnknown, Unauthenticated, Unavailable
from ordermgmt.gateway.contract import FORWARDED_HEADERS, IDEMPOTENCY_KEY, RETURNED_HEADERS, Route
from ordermgmt.gateway.trail import current_trail
from ordermgmt.net.outbound import Busy, HttpClient, Interrupted, Response, Unreachable
from ordermgmt.telemetry.secrets import Unshown

__all__ = ["INVALID_SUBJECT_TOKEN", "Access", "Answer", "Forwarder", "Request", "TokenSource", "Upstream"]

INVALID_SUBJECT_TOKEN = "invalid-subject-token"  # noqa: S105 a code
"""Of the Unauthenticated that a `TokenSource` raises for a token that cannot be exchanged: nothing was sent on."""

_NEEDED_SCOPE = re.compile(r'\bscope="([\x20-\x21\x23-\x5b\x5d-\x7e]*)"')
_SAFE = ("GET", "HEAD")


class TokenSource(Protocol):
    """Finds the token with which a request goes on."""

    def __call__(self, subject_token: str | None, /) -> Awaitable[str | None]:
        """Return the token for the service behind, given the client's, or None to go on without one."""
        ...


class Access(NamedTuple):
    """Connections to a service, and where the tokens are from that may be used on them."""

    http: HttpClient
    token: TokenSource


@dataclass(frozen=True, slots=True)
class Upstream:
    """A service behind the gateway. `access` is entered for each request: a token may be bound to a certificate."""

    name: str
    access: Callable[[], AbstractContextManager[Access]]


@dataclass(frozen=True, slots=True, repr=False)
class Request(Unshown):
    """A request of a client. `target` is path and query, built from a route and nothing else."""

    route: Route
    method: str
    target: str
    headers: Mapping[str, str]
    content: bytes
    subject_token: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the client."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Forwarder:
    """Passes requests on. The upstreams stay the caller's; `timeout` is in seconds, for the whole way."""

    def __init__(self, upstreams: Mapping[str, Upstream], *, public_url: str, timeout: float) -> None:
        self._upstreams = upstreams
        self._public_url = public_url
        self._timeout = timeout

    async def forward(self, request: Request) -> Answer:
        """Send a request to the service of its route and return the answer as the gateway's own.

        Raises Unauthenticated, Forbidden, Unavailable if it was surely not done, OutcomeUnknown if it may have been.
        """
        upstream = self._upstreams[request.route.upstream]
        try:
            with trio.fail_after(self._timeout):
                answer = await self._send(upstream, request)
        except trio.TooSlowError as error:
            raise _interrupted(request.method, upstream) from error
        return self._own(answer)

    async def _send(self, upstream: Upstream, request: Request) -> Response:
        headers = [(name, request.headers[name]) for name in FORWARDED_HEADERS if name in request.headers]
        try:
            with upstream.access() as (http, tokens):
                token = await tokens(request.subject_token)
                if token is not None:
                    headers.append(("authorization", f"Bearer {token}"))
                begun, trail, answer = trio.current_time(), current_trail(), None
                try:
                    answer = await http.request(
                        request.method,
                        request.target,
                        headers=headers,
                        content=request.content,
                        # The order service does what has a key once.
                        repeatable=request.method in _SAFE or IDEMPOTENCY_KEY in request.headers,
                    )
                finally:
                    if trail is not None:
                        trail.answered(upstream.name, token, answer, trio.current_time() - begun)
                return answer
        except Busy as error:
            raise Unavailable(
                "busy", f"too many requests wait for the {upstream.name} service", retry_after=1
            ) from error
        except Unreachable as error:
            code, msg = f"{upstream.name}-unreachable", f"the {upstream.name} service cannot be reached"
            raise Unavailable(code, msg, retry_after=1) from error
        except Interrupted as error:
            raise _interrupted(request.method, upstream) from error

    def _own(self, answer: Response) -> Answer:
        if answer.status == Unauthenticated.status:
            raise Unauthenticated("upstream-unauthenticated")
        if answer.status == Forbidden.status:
            needed = _NEEDED_SCOPE.search(answer.headers.get("www-authenticate", ""))
            raise Forbidden("upstream-forbidden", scope=needed.group(1) if needed else None)
        headers = {name: answer.headers[name] for name in RETURNED_HEADERS if name in answer.headers}
        if "location" in answer.headers:
            headers["location"] = self._public_url + urlsplit(answer.headers["location"]).path
        return Answer(answer.status, headers, answer.content)


def _interrupted(method: str, upstream: Upstream) -> Unavailable | OutcomeUnknown:
    if method in _SAFE:
        return Unavailable(f"{upstream.name}-no-answer", f"the {upstream.name} service did not answer", retry_after=1)
    msg = f"the {upstream.name} service did not answer; the request may have been carried out"
    return OutcomeUnknown("outcome-unknown", msg, retry_after=1)
