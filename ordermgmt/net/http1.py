"""HTTP/1.1 on one connection: a strict look at what the client sends, and what an application answers in its frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from math import inf
from typing import Any

import trio
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Body, EndBody, Request, Response, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.typing import ConnectionState

from ordermgmt.net import problem
from ordermgmt.net.app_stream import AppStream
from ordermgmt.net.limits import Limits
from ordermgmt.net.refused import Refused
from ordermgmt.net.request_body import ChunkedBody, LengthBody, too_large
from ordermgmt.net.request_head import Head, check_start, find_end, read_head
from ordermgmt.net.response_writer import ResponseWriter, date, render_head

__all__ = ["Http1", "WholeAnswer"]

STREAM_ID = 1
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class WholeAnswer(Event):
    """Bytes of an answer, all of it, for the connection."""

    data: bytes


class Http1:
    """Takes one request at a time, and never changes protocol.

    What follows a request waits, unread, until it is answered; the connection reads no further then, so a client that
    sends ahead is held back by TCP: at most one read of 64 KiB and the start of a head wait here, whatever number of
    requests they hold.

    `make_stream` makes what takes a request to the application. `wait_for(seconds)` moves the time at which `expired`
    is called, by the limits for head and body. `must_close()` is asked when a response starts: True ends the connection
    after it, and says so.
    """

    def __init__(
        self,
        make_stream: Callable[[Callable[[StreamEvent], Any], int], AppStream],
        state: ConnectionState,
        send: Callable[[Event], Any],
        *,
        limits: Limits,
        wait_for: Callable[[float], None],
        must_close: Callable[[], bool],
    ) -> None:
        self._make_stream = make_stream
        self._state = state
        self._send = send
        self._limits = limits
        self._wait_for = wait_for
        self._must_close = must_close
        self._received = bytearray()
        self._searched = 0
        self._head: Head
        self._body: LengthBody | ChunkedBody | None = None
        self._started = True  # the time for the first head runs since accept
        self._refused = False
        self._over = False
        self._stream: AppStream | None = None
        self._free = trio.Event()
        self._response: ResponseWriter | None = None

    @property
    def expects_more(self) -> bool:
        """Whether the client may still be sending: its request is unfinished, or made no sense."""
        return self._refused or self._body is not None or bool(self._received)

    async def initiate(self) -> None:
        """Nothing: the client speaks first."""

    async def handle(self, event: Event) -> None:
        """Take bytes from the client, or the news that the connection is over."""
        if not isinstance(event, RawData):
            await self._close_stream()
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
            await self._send(Closed())

    async def drain(self) -> None:
        """End with the response to the request in flight, or soon: a request may be on its way."""
        if self._stream is None:
            self._wait_for(self._limits.farewell)

    async def _take(self) -> bool:
        """Take the next part of what was received; False if there is none, and more has to come first."""
        if self._refused or self._over:
            return False
        if self._body is not None:
            return await self._take_body(self._body)
        if self._stream is not None:
            await self._free.wait()
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
        self._head = head = read_head(bytes(self._received[:end]))
        if head.length > self._limits.max_body:
            raise too_large(self._limits.max_body)
        del self._received[:end]
        self._searched = 0
        self._started = False
        if head.chunked:
            self._body = ChunkedBody(self._limits.max_body)
        elif head.length:
            self._body = LengthBody(head.length)
        self._wait_for(inf if self._body is None else self._limits.body)
        await self._open_stream(head)
        return True

    async def _open_stream(self, head: Head) -> None:
        await self._send(Updated(idle=False))
        self._free = trio.Event()
        self._stream = self._make_stream(self._stream_send, STREAM_ID)
        self._stream.respond = self._respond
        self._response = ResponseWriter(bodiless=head.method == b"HEAD", chunks=head.is_current, closing=not head.keeps)
        await self._stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=head.fields,
                http_version="1.1" if head.is_current else "1.0",
                method=head.method.decode("ascii"),
                raw_path=head.target,
                state=self._state,
            )
        )
        if self._body is None:
            await self._stream.handle(EndBody(stream_id=STREAM_ID))
        elif head.expects_continue and not self._received:
            await self._send(RawData(_CONTINUE))

    async def _take_body(self, body: LengthBody | ChunkedBody) -> bool:
        data = body.take(self._received)
        if body.done:
            self._body = None
            self._wait_for(inf)
        if self._stream is not None:
            if data:
                await self._stream.handle(Body(stream_id=STREAM_ID, data=data))
            if body.done:
                await self._stream.handle(EndBody(stream_id=STREAM_ID))
        return body.done

    async def _refuse(self, refused: Refused) -> None:
        self._refused = True
        await self._close_stream()  # the application, if one is at it, is told that the client is gone
        # Without a whole head, it is not known that the answer to a HEAD has no body.
        bodiless = self._received.startswith(b"HEAD ") if self._body is None else self._head.method == b"HEAD"
        if self._response is None or not self._response.started:
            headers, body = problem.refuse(refused.status, refused.code, refused.detail)
            fields = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
            fields += [(b"connection", b"close"), (b"date", date())]
            await self._send(RawData(render_head(refused.status, fields) + (b"" if bodiless else body)))
        await self._send(Closed())

    async def _stream_send(self, event: StreamEvent) -> None:
        """Take an event from the application's side."""
        response = self._response
        if self._stream is None or response is None:
            return  # its client has had an answer, or is gone
        if isinstance(event, Response):
            if event.status_code >= HTTPStatus.OK:
                # A request whose body is not read to its end leaves bytes that cannot be told from the next request.
                response.closing = response.closing or self._must_close() or self._body is not None
                await self._put(response.head(event.status_code, event.headers))
        elif isinstance(event, Body):
            await self._put(response.body(event.data))
        elif isinstance(event, EndBody):
            await self._put(response.end())
        elif isinstance(event, StreamClosed):
            await self._finish(response)

    async def _respond(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Take a whole answer from the application's side."""
        response = self._response
        if self._stream is not None and response is not None:
            response.closing = response.closing or self._must_close() or self._body is not None
            head = response.head(status, headers)
            await self._send(WholeAnswer(head + response.body(body) + response.end()))

    async def _put(self, data: bytes) -> None:
        if data:
            await self._send(RawData(data))

    async def _finish(self, response: ResponseWriter) -> None:
        """Go on with the next request, or end."""
        await self._close_stream()
        self._response = None
        if response.done and not response.closing and self._body is None and not self._must_close():
            self._free.set()
            await self._send(Updated(idle=True))
        else:
            self._over = True
            self._free.set()
            await self._send(Closed())

    async def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.handle(StreamClosed(stream_id=STREAM_ID))
