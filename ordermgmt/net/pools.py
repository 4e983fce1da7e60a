"""Connections of an outbound client: one pool for each way to prove who we are, the last one in use.

A pool belongs to the certificate that its connections present. When that changes there is a new pool, and the old one
is closed when its last request is done.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpcore
import httpx
import trio

from ordermgmt.net.dial import Backend
from ordermgmt.net.network import Network
from ordermgmt.net.tls_seam import ClientTls

__all__ = ["Interrupted", "Pools", "Unreachable", "open_pools"]

CLOSE = 2.0
"""Seconds that closing a pool may take: its connections are cut, which waits for nobody."""

KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept. A server that drains tells who uses its connection in its drain delay; where
that is longer, nobody sends a request over one that it closes in the same moment."""


class Unreachable(Exception):
    """The request surely never left this process."""


class Interrupted(Exception):
    """The request may have arrived, and its answer did not."""


@dataclass(slots=True)
class _Pool:
    tls: ClientTls | None
    client: httpx.AsyncClient
    requests: int = 0


class Pools:
    """The pool in use, and those that end. Made by `open_pools`."""

    def __init__(self, network: Network, tls: Callable[[], ClientTls | None], limit: int) -> None:
        self._network = network
        self._tls = tls
        self._limit = limit
        self._current = self._open(tls())
        self._ending: list[_Pool] = []

    @asynccontextmanager
    async def use(self) -> AsyncIterator[httpx.AsyncClient]:
        """Give the client for one request; it stays open until the block is left."""
        tls = self._tls()
        if tls is not self._current.tls:
            old, self._current = self._current, self._open(tls)
            self._ending.append(old)
            await self._close_unused()
        pool = self._current
        pool.requests += 1
        try:
            yield pool.client
        finally:
            pool.requests -= 1
            if pool is not self._current:
                await self._close_unused()  # noqa: ASYNC102 - shielded and bounded inside

    async def close(self) -> None:
        """Close all of them, whoever uses them."""
        for pool in [*self._ending, self._current]:
            await _close(pool)

    async def _close_unused(self) -> None:
        for pool in [pool for pool in self._ending if not pool.requests]:
            self._ending.remove(pool)
            await _close(pool)

    def _open(self, tls: ClientTls | None) -> _Pool:
        """Open a pool without a limit: a request that is cancelled while it waits in a full one leaks its place."""
        pool = httpcore.AsyncConnectionPool(
            ssl_context=tls.context() if tls is not None else None,
            max_connections=None,
            max_keepalive_connections=self._limit,
            keepalive_expiry=KEEP_ALIVE,
            network_backend=Backend(self._network, tls),
        )
        client = httpx.AsyncClient(
            transport=_Transport(pool),
            timeout=None,  # noqa: S113 - timeouts belong to the caller
            trust_env=False,
            # None are kept: all callers share the client, and what one of them is told is not for the next.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"accept-encoding": "identity", "user-agent": "ordermgmt"},
        )
        return _Pool(tls, client)


async def _close(pool: _Pool) -> None:
    with trio.move_on_after(CLOSE, shield=True):
        await pool.client.aclose()


@asynccontextmanager
async def open_pools(network: Network, tls: Callable[[], ClientTls | None], limit: int) -> AsyncIterator[Pools]:
    """Open pools that keep up to `limit` idle connections; leaving the block closes them all."""
    pools = Pools(network, tls, limit)
    try:
        yield pools
    finally:
        await pools.close()  # noqa: ASYNC102 - shielded and bounded inside


class _Transport(httpx.AsyncBaseTransport):
    """httpx over a pool of httpcore, with the two kinds of failure that matter to callers."""

    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        core_request = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=_Content(request.content),
            extensions=request.extensions,
        )
        try:
            answer = await self._pool.handle_async_request(core_request)
        except _FAILURES as error:
            raise _failure(url.host, error) from error
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer, url.host))

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Content:
    """A request's body. It is no generator: one that nobody reads to its end outlives its request."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._left = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._left = self._content
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        part, self._left = self._left, b""
        return part


_FAILURES = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)


def _failure(host: str, error: Exception) -> Unreachable | Interrupted:
    if isinstance(error, httpcore.ConnectError | httpcore.ConnectTimeout):
        return Unreachable(f"{host}: {error}")
    return Interrupted(f"{host}: {str(error) or type(error).__name__}")


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response, host: str) -> None:
        self._answer = answer
        self._host = host

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._answer.aiter_stream():
                yield chunk
        except _FAILURES as error:
            raise _failure(self._host, error) from error

    async def aclose(self) -> None:
        await self._answer.aclose()
