"""The outbound HTTP client: which address a request goes to, and when it may be sent again.

Every request goes over our own Network, so the same client runs on sockets and in memory, and every TLS
handshake is followed by a check of who answered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from math import inf
from typing import TypeVar

import trio

from ordermgmt.net.exchange import Busy, Interrupted, Message, Response, TooLong, Transport, Unreachable
from ordermgmt.net.network import Address, Network
from ordermgmt.net.persistent import open_persistent
from ordermgmt.net.tls_seam import ClientTls
from ordermgmt.telemetry.edges import Observe, Outcome, outcome_of
from ordermgmt.telemetry.requests import REQUEST_ID, current_request
from ordermgmt.telemetry.trace import child, current_span

__all__ = [
    "Busy",
    "HttpClient",
    "Interrupted",
    "Response",
    "TooLong",
    "Unreachable",
    "open_client",
    "open_suite_client",
]

T = TypeVar("T")

MAX_ANSWER = 8 * 1024 * 1024
"""Bytes of an answer's body; the largest of ours, a full page of orders, is under 2 MiB."""
AVOID_FOR = 5.0
"""Seconds that an address which could not be reached is tried last."""


class HttpClient:
    """Requests to one service that listens at one or more addresses. Made by `open_client`, `open_suite_client`.

    With a `name`, the service is one of ours: it is told for which request this is, and of which trace.
    """

    def __init__(
        self,
        transport: Transport,
        addresses: Sequence[Address],
        limit: int,
        observe: Observe | None,
        patience: float = inf,
        name: str | None = None,
    ) -> None:
        self._transport = transport
        self._observe = observe
        self._name = name
        self._addresses = list(addresses)
        self._avoid_until = dict.fromkeys(self._addresses, -inf)
        self._turn = 0
        self._limiter = trio.CapacityLimiter(limit)
        self._patience = patience

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
        (None: 8 MiB). There is no time limit here but for the wait for a place: use `trio.fail_after`.
        Raises Unreachable if it surely never left, which is Busy for want of a place, Interrupted if it may have left,
        TooLong for a longer answer.
        """

        def send(address: Address) -> Awaitable[Response]:
            return self._transport.exchange(address, message)

        with self._watched(method) as answered:
            limit = MAX_ANSWER if max_answer is None else max_answer
            message = Message(method, target, self._tell_origin(headers), content, limit)
            response = await self._twice(send, repeatable=repeatable)
            answered(response.status)
        return response

    def _tell_origin(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Add for which request this is, and of which trace, for services of ours: it is no business of others."""
        fields = list(headers)
        if self._name is not None:
            if (request := current_request()) is not None:
                fields.append((REQUEST_ID, request.id))
            if (span := current_span()) is not None:
                fields.extend(span.headers)
        return fields

    @contextmanager
    def _watched(self, method: str) -> Iterator[Callable[[int], None]]:
        """Have what is told of requests learn of one: how long until the status was given here, or it had failed."""
        start = trio.current_time()
        outcome: Outcome | None = "cancelled"

        def tell(how: Outcome) -> None:
            nonlocal outcome
            outcome = None
            if self._observe is not None:
                self._observe(trio.current_time() - start, how)

        def answered(status: int) -> None:
            tell(outcome_of(status))
            if span is not None:
                span.answered(status)

        with child(method if self._name is None else f"{method} {self._name}", "client") as span:
            if span is not None:
                to = self._addresses[0].host if self._name is None else self._name
                span.attributes |= {"http.request.method": method, "server.address": to}
            try:
                yield answered
            except Exception:
                outcome = outcome and "failed"
                raise
            finally:
                if outcome is not None:
                    tell(outcome)

    async def _twice(self, send: Callable[[Address], Awaitable[Response]], *, repeatable: bool) -> Response:
        await self._take_place()
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
        finally:
            self._limiter.release()

    async def follow(
        self, target: str, take: Callable[[bytes], None], *, headers: Iterable[tuple[str, str]] = (), limit: int
    ) -> int:
        """GET an answer of lines, hand each to `take` as it comes, and return its status when it is complete.

        Lines of at most `limit` bytes, without their ends, and only those of a 200. There is no time limit here. Raises
        Unreachable, Interrupted, TooLong for a longer line, and what `take` raises. The connection is closed in the
        end: an answer that lasts mostly ends with it, and who asked again over it could lose the race.
        """

        def send(address: Address) -> Awaitable[int]:
            return self._transport.follow(address, message, answered, take)

        with self._watched("GET") as answered:
            message = Message("GET", target, [*self._tell_origin(headers), ("connection", "close")], b"", limit)
            await self._take_place()
            try:
                return await self._try_addresses(send)
            finally:
                self._limiter.release()

    async def _take_place(self) -> None:
        """Wait in turn for a place, which the caller gives back. Raises Busy."""
        if self._limiter.available_tokens:
            self._limiter.acquire_nowait()
            return
        with trio.move_on_after(self._patience) as waiting:
            await self._limiter.acquire()
        if waiting.cancelled_caught:
            msg = f"no place became free within {self._patience:g} s"
            raise Busy(msg)

    async def _try_addresses(self, send: Callable[[Address], Awaitable[T]]) -> T:
        failure: Unreachable | None = None
        for address in self._rotation():
            try:
                return await send(address)
            except Unreachable as error:
                self._avoid_until[address] = trio.current_time() + AVOID_FOR
                failure = error
        raise failure or Unreachable("no address is configured")

    def _rotation(self) -> list[Address]:
        self._turn += 1
        start = self._turn % max(len(self._addresses), 1)
        turned = self._addresses[start:] + self._addresses[:start]
        now = trio.current_time()
        return sorted(turned, key=lambda address: self._avoid_until[address] > now)


@asynccontextmanager
async def open_client(
    network: Network,
    addresses: Sequence[Address],
    *,
    tls: ClientTls | Callable[[], ClientTls] | None,
    limit: int = 128,
    observe: Observe | None = None,
    patience: float = inf,
) -> AsyncIterator[HttpClient]:
    """Open a client for a server at `addresses`, whosever it is; leaving the block closes its connections.

    A `tls` that is a function is asked at every request; when it returns another one, that and later requests go over
    new connections, and those in flight end over theirs. At most `limit` requests are under way at once; the others
    wait in turn, each for `patience` seconds at most. `observe` is told of each, the time in that queue included.
    """
    # httpx is a tenth of what a start loads, and a suite that trusts only itself needs none of it.
    from ordermgmt.net.pools import open_pools  # noqa: PLC0415 - see above

    async with open_pools(network, _asked(tls), limit) as pools:
        yield HttpClient(pools, addresses, limit, observe, patience)


@asynccontextmanager
async def open_suite_client(
    network: Network,
    addresses: Sequence[Address],
    *,
    tls: ClientTls | Callable[[], ClientTls] | None,
    limit: int = 128,
    observe: Observe | None = None,
    patience: float = inf,
    name: str | None = None,
) -> AsyncIterator[HttpClient]:
    """Open a client for a service of this suite, which a request costs a third of one to others. See `open_client`.

    With its `name` it is told for which request one is, and of which trace.
    """
    async with open_persistent(network, _asked(tls), limit) as persistent:
        yield HttpClient(persistent, addresses, limit, observe, patience, name)


def _asked(tls: ClientTls | Callable[[], ClientTls] | None) -> Callable[[], ClientTls | None]:
    return tls if callable(tls) else lambda: tls
