"""Connections to servers that are not ours: those of httpx, one pool for each way to prove who we are.

A pool belongs to the certificate that its connections present. When that changes there is a new pool, and the old one
is closed when its last request is done.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpcore
import httpx
import trio

from ordermgmt.net.dial import Backend
from ordermgmt.net.exchange import KEEP_ALIVE, Interrupted, Message, Response, TooLong, Unreachable
from ordermgmt.net.lines import Lines
from ordermgmt.net.network import Address, Network, format_address
from ordermgmt.net.tls_seam import ClientTls

__all__ = ["Pools", "open_pools"]

CLOSE = 2.0
"""Seconds that closing a pool may take: its connections are cut, which waits for nobody."""


@dataclass(slots=True)
class _Pool:
    tls: ClientTls | None
    client: httpx.AsyncClient
    requests: int = 0

    def send(self, address: Address, message: Message) -> AbstractAsyncContextManager[httpx.Response]:
        """Send a request; leaving the block ends its answer."""
        url = f"{'http' if self.tls is None else 'https'}://{format_address(address)}{message.target}"
        return self.client.stream(message.method, url, headers=list(message.headers), content=message.content)


class Pools:
    """A `Transport` over httpx: the pool in use, and those that end. Made by `open_pools`."""

    def __init__(self, network: Network, tls: Callable[[], ClientTls | None], limit: int) -> None:
        self._network = network
        self._tls = tls
        self._limit = limit
        self._current = self._open(tls())
        self._ending: list[_Pool] = []

    async def exchange(self, address: Address, message: Message) -> Response:
        """Send one request and read its whole answer. See `Transport.exchange`."""
        async with self._use() as pool, pool.send(address, message) as answer:
            body = await _read_whole(answer, message.max_answer)
            names = {name.lower(): value for name, value in answer.headers.items()}
            return Response(answer.status_code, names, body)

    async def follow(
        self, address: Address, message: Message, answered: Callable[[int], None], take: Callable[[bytes], None]
    ) -> int:
        """Send one request, and hand on the lines of its answer. See `Transport.follow`."""
        async with self._use() as pool, pool.send(address, message) as answer:
            answered(answer.status_code)
            if answer.status_code == HTTPStatus.OK:
                await _read_lines(answer, Lines(take, message.max_answer))
            else:
                await _read_whole(answer, message.max_answer)
            return answer.status_code

    @asynccontextmanager
    async def _use(self) -> AsyncIterator[_Pool]:
        """Give the pool for one request; it stays open until the block is left."""
        tls = self._tls()
        if tls is not self._current.tls:
            old, self._current = self._current, self._open(tls)
            self._ending.append(old)
            await self._close_unused()
        pool = self._current
        pool.requests += 1
        try:
            yield pool
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


async def _read_lines(answer: httpx.Response, lines: Lines) -> None:
    """Hand on each line. What goes wrong cuts the body off as in `_read_whole`."""
    failure: Exception | None = None
    try:
        async for chunk in answer.aiter_raw():
            if failure is not None:
                continue
            try:
                lines.put(chunk)
            except Exception as error:  # noqa: BLE001 - raised when the body is closed
                failure = error
                await answer.aclose()
    except Interrupted:
        if failure is None:
            raise
    if failure is not None:
        raise failure


async def _read_whole(answer: httpx.Response, limit: int) -> bytes:
    """Read the body. One that is too long is cut off below the generators that deliver it, so that they all end."""
    body = bytearray()
    try:
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > limit and not answer.is_closed:
                await answer.aclose()
    except Interrupted:
        if len(body) <= limit:
            raise
    if len(body) > limit:
        msg = f"the answer of {answer.url.host} is over {limit} bytes"
        raise TooLong(msg)
    return bytes(body)


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
