"""Following requests of sessions through the gateway, and keeping their paths for a while, for their own user."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from http import HTTPStatus

import msgspec
import trio

from ordermgmt.clock import Clock
from ordermgmt.errors import Error, NotFound, Unauthenticated
from ordermgmt.gateway.path import Asked, Hop, Identities, Path, bearer, opaque, order_steps, session_token
from ordermgmt.gateway.sessions import Session
from ordermgmt.net.outbound import Response
from ordermgmt.net.steps import HEADER, parse_steps
from ordermgmt.security.peer import spiffe_id

__all__ = ["Trail", "Trails", "current_trail"]

MAX_SESSIONS = 250
"""Sessions whose paths are kept, those used last."""
MAX_PATHS = 20
"""Paths that are kept of a session: at about 4 kB each, all of them take 20 MB."""

SOMEBODY = "provider"
"""What a provider is called that is somebody else's."""

_WITH_CERTIFICATE = {"inventory", "sts"}
"""Services that are shown the gateway's certificate."""

_trail: ContextVar[Trail | None] = ContextVar("_trail", default=None)


def current_trail() -> Trail | None:
    """Return the trail of the request that the current task works for; None if it is not followed."""
    return _trail.get()


@dataclass(slots=True)
class Trail:
    """What a request met on its way so far."""

    session: Session
    trust_domain: str
    provider: str | None
    """The name of the service that signs users in; None: it is somebody else's, and known by its URL alone."""
    clock: Clock
    hops: list[Hop] = field(default_factory=list)

    def exchanged(self, seconds: float, *, cached: bool) -> None:
        """Note that its token was exchanged, in so many seconds, or had been before."""
        what = (
            "The token of the session was exchanged before, and its JWT is still good."
            if cached
            else "Exchanges the token of the session for one that says less: one audience, a minute (RFC 8693)."
        )
        self._met_provider(what, None if cached else seconds, cached=cached, taken=True)

    def not_exchanged(self, error: Exception, seconds: float) -> None:
        """Note that its token was not exchanged, and whether it was refused."""
        refused = isinstance(error, Unauthenticated)
        what = "Refuses to exchange the token of the session." if refused else "Does not exchange the token just now."
        self._met_provider(what, seconds, cached=False, taken=False)

    def _met_provider(self, what: str, seconds: float | None, *, cached: bool, taken: bool) -> None:
        both = Identities(None, None)
        if self.provider is not None:
            both = Identities(self._identity("gateway"), self._identity(self.provider))
        self.hops.append(
            Hop(
                origin="gateway",
                to=self.provider or SOMEBODY,
                what=what,
                seconds=seconds,
                cached=cached,
                identities=both,
                token=opaque(self.session, self.clock.now(), taken=taken),
            )
        )

    def answered(self, upstream: str, token: str | None, answer: Response | None, seconds: float) -> None:
        """Note the answer of a service behind the gateway, to a request with this token; None: there was none."""
        if answer is None:
            what = "Sends the request on, or tries to. No answer comes."
            self.hops.append(Hop(origin="gateway", to=upstream, what=what, seconds=seconds))
            return
        client = self._identity("gateway") if upstream in _WITH_CERTIFICATE else None
        self.hops.append(
            Hop(
                origin="gateway",
                to=upstream,
                what=f"Sends the request on, and is answered with {answer.status}.",
                seconds=seconds,
                identities=Identities(client, self._identity(upstream)),
                token=bearer(token, upstream, self.clock.now(), answer.status) if token is not None else None,
            )
        )
        if upstream == "order":
            steps = parse_steps(answer.headers.get(HEADER, ""))
            self.hops += order_steps(steps, self._identity("order"), self._identity("inventory"))

    def _identity(self, service: str) -> str:
        return spiffe_id(self.trust_domain, service)


class Trails:
    """Follows requests, and keeps the paths of the last ones of each session in memory: of this process only."""

    def __init__(self, trust_domain: str, provider: str | None, clock: Clock) -> None:
        self._trust_domain = trust_domain
        self._provider = provider
        self._clock = clock
        self._kept: OrderedDict[str, deque[tuple[str, bytes]]] = OrderedDict()

    @contextmanager
    def following(self, request_id: str, method: str, target: str, session: Session) -> Iterator[list[int]]:
        """Follow a request while the block runs, which puts the status of the answer into the list.

        An Error that leaves the block is the answer. What did not change is not worth being kept.
        """
        trail = Trail(session, self._trust_domain, self._provider, self._clock)
        at, begun = self._clock.now(), trio.current_time()
        before = _trail.set(trail)
        status: list[int] = []
        try:
            yield status
        except Error as error:
            status.append(error.status)
            raise
        finally:
            _trail.reset(before)
            if status and status[0] != HTTPStatus.NOT_MODIFIED:
                seconds = trio.current_time() - begun
                asked = Asked(request_id, method, target.partition("?")[0], status[0], at, seconds)
                self._keep(session.digest, asked, trail)

    def find(self, request_id: str, session: Session) -> bytes:
        """Return the path of a request of this session, as JSON. Raises NotFound."""
        for kept_id, path in self._kept.get(session.digest, ()):
            if kept_id == request_id:
                return path
        raise NotFound("no-such-path", "the path of this request is not kept, or not here")

    def _keep(self, digest: str, asked: Asked, trail: Trail) -> None:
        first = Hop(
            origin="browser",
            to="gateway",
            what="Sends the request, with the cookie of its session. No token is there.",
            seconds=asked.seconds,
            token=session_token(trail.session, asked.method, asked.at),
        )
        kept = self._kept.setdefault(digest, deque(maxlen=MAX_PATHS))
        self._kept.move_to_end(digest)
        kept.append((asked.id, msgspec.json.encode(Path(asked, [first, *trail.hops]))))
        if len(self._kept) > MAX_SESSIONS:
            self._kept.popitem(last=False)
