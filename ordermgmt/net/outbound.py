"""The outbound HTTP client; with `pools` the only place that knows httpx.

Every request goes over our own Network, so the same client runs on sockets and in memory, and every TLS
handshake is followed by a check of who answered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from math import inf
from typing import TypeVar

import httpx
import trio

from ordermgmt.net.network import Address, Network, format_address
from ordermgmt.net.pools import Interrupted, Pools, Unreachable, open_pools
from ordermgmt.net.tls_seam import ClientTls
from ordermgmt.telemetry.edges import Observe, Outcome, outcome_of

__all__ = ["HttpClient", "Interrupted", "Response", "TooLong", "Unreachable", "open_client"]

T = TypeVar("T")

MAX_ANSWER = 8 * 1024 * 1024
"""Bytes of an answer's body; the largest of ours, a full page of orders, is under 2 MiB."""
AVOID_FOR = 5.0
"""Seconds that an address which could not be reached is tried last."""


class TooLong(Interrupted):
    """The answer is longer than was asked for, and was not read to its end. It is not asked for again."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. `headers` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class HttpClient:
    """Requests to one service that listens at one or more addresses. Made by `open_client`."""

    def __init__(
        self, pools: Pools, scheme: str, addresses: Sequence[Address], limit: int, observe: Observe | None
    ) -> None:
        self._pools = pools
        self._observe = observe
        self._bases = [f"{scheme}://{format_address(address)}" for address in addresses]
        self._avoid_until = dict.fromkeys(self._bases, -inf)
        self._turn = 0
        self._limiter = trio.CapacityLimiter(limit)

    async def request(
        self,
        method: str,
        target: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        content: bytes = b"",
        repeatable: bool = False,
        max_answer: int | None = None,
    ) -> Response:
        """Send one request and read its whole answer, whatever its status.

        `target` is path and query as they go on the wire. A `repeatable` request is sent once more, on a new
        connection, if the first attempt was interrupted. Of the answer's body at most `max_answer` bytes are read
        (None: 8 MiB). There is no time limit here: use `trio.fail_after`.
        Raises Unreachable if it surely never left, Interrupted if it may have, TooLong for a longer answer.
        """
        limit = MAX_ANSWER if max_answer is None else max_answer
        headers = list(headers)

        async def send(base: str) -> Response:
            return await self._send(method, base + target, headers, content, limit)

        with self._watched() as answered:
            response = await self._twice(send, repeatable=repeatable)
            answered(response.status)
        return response

    @contextmanager
    def _watched(self) -> Iterator[Callable[[int], None]]:
        """Have what is told of requests learn of one: how long until the status was given here, or it had failed."""
        start = trio.current_time()
        outcome: Outcome | None = "cancelled"

        def tell(how: Outcome) -> None:
            nonlocal outcome
            outcome = None
            if self._observe is not None:
                self._observe(trio.current_time() - start, how)

        try:
            yield lambda status: tell(outcome_of(status))
        except (Unreachable, Interrupted):
            outcome = outcome and "failed"
            raise
        finally:
            if outcome is not None:
                tell(outcome)

    async def _twice(self, send: Callable[[str], Awaitable[Response]], *, repeatable: bool) -> Response:
        async with self._limiter:
            try:
                return await self._try_addresses(send)
            except Interrupted as first:
                if not repeatable or isinstance(first, TooLong):
                    raise
                try:
                    return await self._try_addresses(send)
                except Unreachable as second:
                    msg = f"{first}; then {second}"  # the first attempt may have arrived
                    raise Interrupted(msg) from first

    async def follow(
        self, target: str, take: Callable[[bytes], None], *, headers: Iterable[tuple[str, str]] = (), limit: int
    ) -> int:
        """GET an answer of lines, hand each to `take` as it comes, and return its status when it is complete.

        Lines of at most `limit` bytes, without their ends, and only those of a 200. There is no time limit here. Raises
        Unreachable, Interrupted, TooLong for a longer line, and what `take` raises; then the connection is closed.
        """
        headers = list(headers)

        async def send(base: str) -> int:
            return await self._follow(base + target, take, headers, limit, answered)

        with self._watched() as answered:
            async with self._limiter:
                return await self._try_addresses(send)

    async def _try_addresses(self, send: Callable[[str], Awaitable[T]]) -> T:
        failure: Unreachable | None = None
        for base in self._rotation():
            try:
                return await send(base)
            except Unreachable as error:
                self._avoid_until[base] = trio.current_time() + AVOID_FOR
                failure = error
        raise failure or Unreachable("no address is configured")

    def _rotation(self) -> list[str]:
        self._turn += 1
        start = self._turn % max(len(self._bases), 1)
        turned = self._bases[start:] + self._bases[:start]
        now = trio.current_time()
        return sorted(turned, key=lambda base: self._avoid_until[base] > now)

    async def _send(
        self, method: str, url: str, headers: list[tuple[str, str]], content: bytes, max_answer: int
    ) -> Response:
        async with (
            self._pools.use() as client,
            client.stream(method, url, headers=headers, content=content) as answer,
        ):
            body = await _read_whole(answer, max_answer)
            names = {name.lower(): value for name, value in answer.headers.items()}
            return Response(answer.status_code, names, body)

    async def _follow(
        self,
        url: str,
        take: Callable[[bytes], None],
        headers: list[tuple[str, str]],
        limit: int,
        answered: Callable[[int], None],
    ) -> int:
        async with self._pools.use() as client, client.stream("GET", url, headers=headers) as answer:
            answered(answer.status_code)
            if answer.status_code == HTTPStatus.OK:
                await _read_lines(answer, take, limit)
            else:
                await _read_whole(answer, limit)
            return answer.status_code


async def _read_lines(answer: httpx.Response, take: Callable[[bytes], None], limit: int) -> None:
    """Hand on each line. What goes wrong cuts the body off as in `_read_whole`."""
    waiting = bytearray()
    failure: Exception | None = None
    try:
        async for chunk in answer.aiter_raw():
            if failure is not None:
                continue
            waiting += chunk
            try:
                _take_lines(waiting, take, limit)
            except Exception as error:  # noqa: BLE001 - raised when the body is closed
                failure = error
                await answer.aclose()
    except Interrupted:
        if failure is None:
            raise
    if failure is not None:
        raise failure


def _take_lines(waiting: bytearray, take: Callable[[bytes], None], limit: int) -> None:
    while (end := waiting.find(b"\n")) >= 0:
        line = bytes(waiting[:end])
        del waiting[: end + 1]
        _check_length(line, limit)
        take(line)
    _check_length(waiting, limit)


def _check_length(line: bytes | bytearray, limit: int) -> None:
    if len(line) > limit:
        msg = f"a line of the answer is over {limit} bytes"
        raise TooLong(msg)


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


@asynccontextmanager
async def open_client(
    network: Network,
    addresses: Sequence[Address],
    *,
    tls: ClientTls | Callable[[], ClientTls] | None,
    limit: int = 128,
    observe: Observe | None = None,
) -> AsyncIterator[HttpClient]:
    """Open a client for the service at `addresses`; leaving the block closes its connections.

    A `tls` that is a function is asked at every request; when it returns another one, that and later requests go over
    new connections, and those in flight end over theirs. At most `limit` requests are under way at once; the others
    wait in turn. `observe` is told of each, the time in that queue included; of one that is followed, when the answer
    begins.
    """
    current = tls if callable(tls) else lambda: tls
    async with open_pools(network, current, limit) as pools:
        yield HttpClient(pools, "http" if tls is None else "https", addresses, limit, observe)
