"""HTTP/1.1 on one connection: Hypercorn's protocol class behind a stricter look at what the client sends."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from math import inf
from typing import Any

import h11
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Request, Response
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream

from ordermgmt.net import problem
from ordermgmt.net.limits import Limits
from ordermgmt.net.refused import Refused
from ordermgmt.net.request_body import ChunkedBody, LengthBody, too_large
from ordermgmt.net.request_head import Head, check_start, find_end, read_head

__all__ = ["Http1"]

_REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}


class Http1(H11Protocol):
    """Takes one request at a time, hands only well-formed bytes on, and never changes protocol.

    h11 sees a head that was read before, and a chunked body framed anew. What follows a request waits, unread, until
    it is answered; the connection reads no further then, so a client that sends ahead is held back by TCP: at most
    one read of 64 KiB and the start of a head wait here, whatever number of requests they hold.

    `wait_for(seconds)` moves the time at which `expired` is called, by the limits for head and body.
    `must_close()` is asked when a response starts: True ends the connection after it, and says so.
    """

    def __init__(
        self, *arguments: Any, limits: Limits, wait_for: Callable[[float], None], must_close: Callable[[], bool]
    ) -> None:
        super().__init__(*arguments)
        self._limits = limits
        self._wait_for = wait_for
        self._must_close = must_close
        self._received = bytearray()
        self._searched = 0
        self._head: Head
        self._body: LengthBody | ChunkedBody | None = None
        self._started = True  # the time for the first head runs since accept
        self._refused = False

    @property
    def expects_more(self) -> bool:
        """Whether the client may still be sending: its request is unfinished, or made no sense."""
        return self._refused or self._body is not None or bool(self._received)

    async def handle(self, event: Event) -> None:
        """Take bytes from the client, or the news that the connection is over."""
        if not isinstance(event, RawData):
            await super().handle(event)
            return
        self._received += event.data
        try:
            while self._received and await self._take():
                pass
        except Refused as refused:
            await self._refuse(refused)

    async def expired(self) -> None:
        """Act on a client that took too long: it gets an answer if it has begun a request."""
        if self._body is not None:
            await self._refuse(Refused(HTTPStatus.REQUEST_TIMEOUT, "body-too-slow", "the body took too long to arrive"))
        elif self._received:
            await self._refuse(Refused(HTTPStatus.REQUEST_TIMEOUT, "head-too-slow", "the head took too long to arrive"))
        else:
            await self.send(Closed())

    async def drain(self) -> None:
        """End with the response to the request in flight, or soon: a request may be on its way."""
        if self.stream is None:
            self._wait_for(self._limits.farewell)

    async def _take(self) -> bool:
        """Take the next part of what was received; False if there is none, and more has to come first."""
        if self._refused or self.connection.our_state in {h11.MUST_CLOSE, h11.CLOSED, h11.ERROR}:
            return False
        if self._body is not None:
            return await self._take_body(self._body)
        if self.stream is not None:
            await self.can_read.wait()
            return True
        return await self._take_head()

    async def _take_head(self) -> bool:
        if not self._searched and self._received.startswith(b"\r\n"):
            del self._received[:2]  # RFC 9112 section 2.2: one empty line before a request is ignored
        end = find_end(self._received, self._searched)
        if end < 0:
            check_start(self._received)
            self._searched = len(self._received)
            if not self._started:
                self._started = True
                self._wait_for(self._limits.header)
            return False
        head = bytes(self._received[:end])
        self._head = read_head(head)
        if self._head.length > self._limits.max_body:
            raise too_large(self._limits.max_body)
        del self._received[:end]
        self._searched = 0
        self._started = False
        if self._head.chunked:
            self._body = ChunkedBody(self._limits.max_body)
        elif self._head.length:
            self._body = LengthBody(self._head.length)
        self._wait_for(inf if self._body is None else self._limits.body)
        await self.can_read.clear()
        await self._parse(head)
        return True

    async def _take_body(self, body: LengthBody | ChunkedBody) -> bool:
        data = body.take(self._received)
        if self._head.chunked:
            framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            data = framed + b"0\r\n\r\n" if body.done else framed
        if body.done:
            self._body = None
            self._wait_for(inf)
        if data:
            await self._parse(data)
        return body.done

    async def _parse(self, data: bytes) -> None:
        self.connection.receive_data(data)
        await self._handle_events()

    async def _refuse(self, refused: Refused) -> None:
        self._refused = True
        await self._close_stream()  # the application, if one is at it, is told that the client is gone
        # Until h11 has a request, it does not know that the answer to a HEAD has no body.
        no_body = self._received.startswith(b"HEAD ") if self._body is None else self._head.method == b"HEAD"
        if self.connection.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            headers, body = problem.refuse(refused.status, refused.code, refused.detail)
            headers += [("connection", "close"), ("date", formatdate(usegmt=True))]
            await self._send_h11_event(
                h11.Response(
                    status_code=refused.status,
                    headers=headers,
                    reason=_REASONS[refused.status],
                )
            )
            if not no_body:
                await self._send_h11_event(h11.Data(data=body))
                await self._send_h11_event(h11.EndOfMessage())
        await self.send(Closed())

    async def stream_send(self, event: StreamEvent) -> None:
        """Take an event from the application's side."""
        if self.stream is None:
            return  # its client has had an answer, or is gone
        if isinstance(event, Response) and event.status_code >= HTTPStatus.OK:
            await self._send_h11_event(self._response(event.status_code, event.headers))
        else:
            await super().stream_send(event)

    def _response(self, status: int, headers: list[tuple[bytes, bytes]]) -> h11.Response:
        headers = [*headers, *self.config.response_headers("h11")]
        # A request whose body is not read to its end leaves bytes that cannot be told from the next request.
        if self._must_close() or self._body is not None:
            headers.append((b"connection", b"close"))
        return h11.Response(status_code=status, headers=headers, reason=_REASONS.get(status, b""))

    async def _create_stream(self, request: h11.Request) -> None:
        self.stream = HTTPStream(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=list(request.headers),
                http_version=request.http_version.decode("ascii"),
                method=self._head.method.decode("ascii"),
                raw_path=self._head.target,
                state=self.connection_state,
            )
        )

    async def _check_protocol(self, event: h11.Request) -> None:
        """Nothing is left to refuse: `read_head` came first."""
