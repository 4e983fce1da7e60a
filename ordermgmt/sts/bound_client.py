"""A service's access to another one that wants a token bound to the certificate (RFC 8705 section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import NamedTuple

import trio

from ordermgmt import errors
from ordermgmt.net import Address, ClientTls
from ordermgmt.net.outbound import HttpClient, open_suite_client
from ordermgmt.runtime import ServiceContext
from ordermgmt.security.tls import Credential, client_tls
from ordermgmt.sts.client import StsClient
from ordermgmt.sts.contract import service_resource
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.telemetry.trace import Span, current_span, linked

__all__ = ["BoundClient", "BoundClients", "BoundToken"]

FETCH_TIMEOUT = 10.0
"""Seconds that fetching a bound token may take."""
RETRY_AFTER = 5.0
"""Seconds between a renewal that failed and the next one."""
SPARE = 5.0
"""Seconds before its end from which a token is not used any more: it has to arrive, too."""

log = get_logger("sts-client")


class BoundToken:
    """A service's own JWT for another service, together with the credential that it is bound to.

    `run` fetches it, when the first request needs it and from then on at half its life; requests wait for `run`, so
    one that is cancelled takes nothing from the others. When the certificate changes there is a new one of these.
    """

    def __init__(self, sts: StsClient, credential: Credential, audience: str, scopes: Iterable[str] = ()) -> None:
        self.credential = credential
        self._sts = sts
        self._resource = service_resource(credential.trust_domain, audience)
        self._scopes = frozenset(scopes)
        self._token = ""
        self._usable_until = -inf
        self._renew_at = inf
        self._attempt = _Attempt()

    async def get(self) -> str:
        """Return the token, fetched if need be: it waits as long as `run` takes to begin, and then to fetch.

        Raises Unavailable if it cannot be had, or not any more because `run` has ended.
        """
        if trio.current_time() < self._usable_until:
            return self._token
        attempt = self._attempt
        attempt.wanted.set()
        attempt.span = attempt.span or current_span()
        await attempt.done.wait()
        if attempt.failure is not None:
            raise errors.Unavailable(attempt.failure.code, attempt.failure.detail) from attempt.failure
        return self._token

    def discard(self, token: str) -> None:
        """Forget `token`, because it was refused; the next request has a new one fetched."""
        if token == self._token:
            self._usable_until = -inf

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Fetch and renew the token until cancelled; from then on `get` has only what is left."""
        task_status.started()
        try:
            while True:
                with trio.move_on_at(self._renew_at):
                    await self._attempt.wanted.wait()
                await self._try()
                done, self._attempt = self._attempt.done, _Attempt()
                done.set()
        finally:
            self._attempt.done.set()

    async def _try(self) -> None:
        try:
            await self._fetch()
        except (errors.Error, trio.TooSlowError) as error:
            self._attempt.failure = _as_error(error)
            usable = trio.current_time() < self._usable_until
            self._renew_at = trio.current_time() + RETRY_AFTER if usable else inf
        else:
            self._attempt.failure = None

    async def _fetch(self) -> None:
        start = trio.current_time()
        with linked("fetch token", [self._attempt.span]), trio.fail_after(FETCH_TIMEOUT):
            issued = await self._sts.client_credentials(self._resource, self._scopes)
        self._token = issued.token
        self._usable_until = start + issued.expires_in - SPARE
        self._renew_at = start + issued.expires_in / 2


class _Attempt:
    """The next fetch, or the one under way: `failure` is None only once it has brought a token.

    `span` is that of the first one that waits for it.
    """

    def __init__(self) -> None:
        self.wanted = trio.Event()
        self.done = trio.Event()
        self.span: Span | None = None
        self.failure: errors.Error | None = errors.Unavailable("shutting-down")


def _as_error(error: errors.Error | trio.TooSlowError) -> errors.Error:
    return error if isinstance(error, errors.Error) else errors.Unavailable("sts-unreachable", "no answer in time")


class BoundClient(NamedTuple):
    """A client that presents a certificate, and the token that is bound to that certificate."""

    http: HttpClient
    token: BoundToken


class BoundClients:
    """A service's access to another one that wants a bound token: certificate, token and connections are one value.

    `run` swaps it when the service gets another certificate, as soon as the token for the new one is there; what is in
    flight ends over the old one. Its requests are measured as an edge: `what` is asked of the other service.
    """

    def __init__(
        self,
        context: ServiceContext,
        audience: str,
        addresses: Sequence[Address],
        scopes: Iterable[str],
        *,
        what: str,
    ) -> None:
        self._context = context
        self._what = what
        self._audience = audience
        self._addresses = tuple(addresses)
        self._scopes = frozenset(scopes)
        clock = context.runtime.clock

        def side(credential: Credential) -> _Side:
            return _Side(
                credential,
                client_tls(credential, expected="sts", clock=clock),
                client_tls(credential, expected=audience, clock=clock),
            )

        self._side = context.credentials.derive(side)
        self._session: _Session | None = None

    @contextmanager
    def use(self) -> Iterator[BoundClient]:
        """Give what one request needs; it stays open until the block is left. Raises Unavailable when `run` ended."""
        session = self._session
        if session is None:
            raise errors.Unavailable("shutting-down")
        session.users += 1
        try:
            yield session.client
        finally:
            session.users -= 1
            session.left.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep one open until cancelled. `started()` means that it can be used; the first token is fetched then."""
        swapped = self._context.credentials.swapped
        heard = swapped.rings
        try:
            async with trio.open_nursery() as nursery:
                side = self._side()
                await nursery.start(self._live, side)
                task_status.started()
                while True:
                    heard = await swapped.hear(heard)
                    if self._side() is not side:
                        side = self._side()
                        await nursery.start(self._live, side)
        finally:
            self._session = None

    async def _live(self, side: _Side, *, task_status: trio.TaskStatus[None]) -> None:
        """Open one, and close it when there is another one in its place and nobody uses it any more."""
        context = self._context
        network = context.runtime.network
        async with (
            open_suite_client(
                network, context.endpoints.sts_mtls, tls=side.sts, observe=context.edges.to("sts", "token"), name="sts"
            ) as sts_http,
            open_suite_client(
                network,
                self._addresses,
                tls=side.service,
                observe=context.edges.to(self._audience, self._what),
                name=self._audience,
            ) as http,
            trio.open_nursery() as nursery,
        ):
            token = BoundToken(StsClient(sts_http, context.name), side.credential, self._audience, self._scopes)
            await nursery.start(token.run)
            session, before = _Session(BoundClient(http, token)), self._session
            if before is not None:
                await _fetch_first(token)
                before.replaced.set()
            self._session = session
            task_status.started()
            await session.replaced.wait()
            while session.users:
                session.left = trio.Event()
                await session.left.wait()
            nursery.cancel_scope.cancel()


class _Side(NamedTuple):
    """Our end of both connections, of one certificate."""

    credential: Credential
    sts: ClientTls
    service: ClientTls


class _Session:
    def __init__(self, client: BoundClient) -> None:
        self.client = client
        self.users = 0
        self.left = trio.Event()
        self.replaced = trio.Event()


async def _fetch_first(token: BoundToken) -> None:
    """Wait for a token, so that nobody has to: until it is there, the one before is used."""
    while True:
        try:
            await token.get()
        except errors.Unavailable as error:
            log.warning("bound-token-not-swapped", reason=str(error), again_in=RETRY_AFTER)
            await trio.sleep(RETRY_AFTER)
        else:
            return
