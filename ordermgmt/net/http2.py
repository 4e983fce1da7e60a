"""HTTP/2 on one connection: h2 speaks the protocol, Hypercorn's streams call the application, the bounds are ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from math import inf

import h2.events
import h2.exceptions
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Body, EndBody, InformationalResponse, Request, Response, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.typing import ConnectionState

from ordermgmt.net.app_tasks import AppTasks
from ordermgmt.net.http2_frames import Flood, FrameBudget
from ordermgmt.net.http2_head import Fields, read_fields
from ordermgmt.net.http2_sender import MAX_STREAMS, Codes, Http2Sender, new_h2
from ordermgmt.net.http2_stream import Http2Stream
from ordermgmt.net.limits import Limits
from ordermgmt.net.refused import Refused
from ordermgmt.net.request_body import too_large
from ordermgmt.telemetry.logs import get_logger

__all__ = ["Http2"]

MAX_BODIES = 4
"""Bodies of the greatest size that all requests in flight of a connection may hold together."""
MAX_TABLE = 4096
"""Bytes of the table by which our fields are compressed: a client may ask for less, not for more."""
REFUSAL_COST = 10
"""Points of a `FrameBudget` for a stream that we end: a client can make us do so as it can reset it itself."""

OpenStream = Callable[[Callable[[StreamEvent], Awaitable[None]], int], HTTPStream]
"""Makes Hypercorn's side of a stream, given where it sends to and its number."""


class Http2:
    """Serves the streams of one connection; see `connection.HttpProtocol` for its methods.

    The client may send a body as fast as it likes, as bodies are bounded one by one and together. Every priority is
    ignored (RFC 9113 section 5.3): streams that have something to send take turns. Whatever breaks the protocol ends
    the connection; whatever is wrong with a request is an answer on its stream.
    """

    def __init__(
        self,
        open_stream: OpenStream,
        config: Config,
        tasks: AppTasks,
        state: ConnectionState,
        send: Callable[[Event], Awaitable[None]],
        *,
        limits: Limits,
        wait_for: Callable[[float], None],
        must_close: Callable[[], bool],
    ) -> None:
        self._open_stream = open_stream
        self._tasks = tasks
        self._state = state
        self._send = send
        self._limits = limits
        self._wait_for = wait_for
        self._must_close = must_close
        self._budget = FrameBudget(trio.current_time())
        self._streams: dict[int, Http2Stream] = {}
        self._unread: dict[int, int] = {}
        self._failed = False
        self._h2 = new_h2()
        self._sender = Http2Sender(self._h2, self._streams, config, send, sent=self._budget.earn)

    @property
    def expects_more(self) -> bool:
        """Whether the client may still be sending, so that a reset would take our GOAWAY from it."""
        return self._failed or self._sender.gone_away

    async def initiate(self) -> None:
        """Send our settings."""
        self._h2.initiate_connection()
        await self._sender.flush()

    async def handle(self, event: Event) -> None:
        """Take bytes from the client, or the news that the connection is over."""
        if not isinstance(event, RawData):
            for stream in list(self._streams.values()):
                await self._forget(stream)
            return
        try:
            self._budget.take(event.data, trio.current_time())
            for happened in self._h2.receive_data(event.data):
                await self._take(happened)
            await self._sender.pump()
        except Flood as flood:
            await self._fail(Codes(flood.code), f"too much: {flood}")
        except h2.exceptions.ProtocolError as error:
            await self._fail(None, str(error))

    async def expired(self) -> None:
        """Act on a client that took too long: with a body, or with asking for anything."""
        now = trio.current_time()
        slow = [stream for stream in self._streams.values() if stream.body_deadline <= now]
        for stream in slow:
            refused = Refused(HTTPStatus.REQUEST_TIMEOUT, "body-too-slow", "the body took too long to arrive")
            await self._refuse(stream.stream_id, refused)
        if self._streams:
            self._rearm()
        elif not slow:
            await self._sender.go_away()
            await self._send(Closed())

    async def drain(self) -> None:
        """Take no new requests, and end with the last one in flight."""
        await self._sender.go_away()
        if not self._streams:
            await self._send(Closed())

    async def stream_send(self, event: StreamEvent) -> None:
        """Take an event from the application's side."""
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return  # its client has had an answer, or is gone
        try:
            await self._answer(stream, event)
        except h2.exceptions.ProtocolError as error:
            get_logger("net").warning("answer-failed", reason=str(error))
            self._sender.reset(stream.stream_id, Codes.INTERNAL_ERROR)
            await self._forget(stream)

    async def _answer(self, stream: Http2Stream, event: StreamEvent) -> None:
        if isinstance(event, Response | InformationalResponse):
            await self._sender.head(event.stream_id, event.status_code, event.headers)
        elif isinstance(event, Body | EndBody):
            if isinstance(event, Body):
                stream.outgoing += event.data
            else:
                stream.complete = True
            await self._sender.pump()
            if not await stream.taken(self._limits.send):
                self._sender.reset(stream.stream_id, Codes.CANCEL)
                await self._forget(stream)
        elif isinstance(event, StreamClosed):
            if not stream.ended:
                self._sender.reset(stream.stream_id, Codes.INTERNAL_ERROR)
            elif not stream.body_complete:
                # The rest of the body is thrown away: some clients take a reset for the loss of their answer.
                self._unread[stream.stream_id] = stream.body_size
            await self._forget(stream)

    async def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._budget.earn()
            try:
                await self._request(event.stream_id, event.headers, ended=event.stream_ended is not None)
            except Refused as refused:
                self._budget.charge(REFUSAL_COST, "requests that are refused")
                await self._refuse(event.stream_id, refused)
        elif isinstance(event, h2.events.DataReceived):
            await self._data(event.stream_id, event.data)
            if event.flow_controlled_length:
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self._budget.earn()
            await self._body_complete(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._unread.pop(event.stream_id, None)
            if event.stream_id in self._streams:
                await self._forget(self._streams[event.stream_id])
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self._h2.encoder.header_table_size = min(self._h2.encoder.header_table_size, MAX_TABLE)
        elif isinstance(event, h2.events.ConnectionTerminated):
            await self._send(Closed())

    async def _request(self, stream_id: int, received: Fields, *, ended: bool) -> None:
        if self._sender.gone_away or self._tasks.running >= MAX_STREAMS:
            self._budget.charge(REFUSAL_COST, "requests beyond the limit")
            self._sender.reset(stream_id, Codes.REFUSED_STREAM)
            return
        head = read_fields(received)
        if head.length > self._limits.max_body:
            raise too_large(self._limits.max_body)
        if head.expects_continue and not ended:
            self._h2.send_headers(stream_id, [(b":status", b"100")])
        if not self._streams:
            await self._send(Updated(idle=False))
        deadline = inf if ended else trio.current_time() + self._limits.body
        stream = Http2Stream(stream_id, self._open_stream(self.stream_send, stream_id), deadline)
        self._streams[stream_id] = stream
        self._rearm()
        request = Request(
            stream_id=stream_id,
            headers=head.fields,
            http_version="2",
            method=head.method.decode("ascii"),
            raw_path=head.target,
            state=self._state,
        )
        await stream.http.handle(request)
        if self._must_close() and len(self._streams) > 1:
            # Otherwise the goodbye comes with the end of this stream: some clients take nothing after it.
            await self._sender.go_away()

    async def _data(self, stream_id: int, data: bytes) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            size = self._unread.get(stream_id, 0) + len(data)
            if stream_id in self._unread:
                self._unread[stream_id] = size
            if size > self._limits.max_body and self._unread.pop(stream_id, None) is not None:
                self._sender.reset(stream_id, Codes.NO_ERROR)
            return
        stream.body_size += len(data)
        if stream.body_size > self._limits.max_body:
            await self._refuse(stream_id, too_large(self._limits.max_body))
        elif sum(one.body_size for one in self._streams.values()) > MAX_BODIES * self._limits.max_body:
            detail = "too many bodies at once on this connection"
            await self._refuse(stream_id, Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too-many-bodies", detail))
        else:
            await stream.http.handle(Body(stream_id=stream_id, data=data))

    async def _body_complete(self, stream_id: int) -> None:
        self._unread.pop(stream_id, None)
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.body_deadline = inf
            self._rearm()
            await stream.http.handle(EndBody(stream_id=stream_id))

    async def _refuse(self, stream_id: int, refused: Refused) -> None:
        await self._sender.refuse(stream_id, refused)
        stream = self._streams.get(stream_id)
        if stream is not None:
            await self._forget(stream)

    async def _forget(self, stream: Http2Stream) -> None:
        if self._streams.pop(stream.stream_id, None) is None:
            return
        stream.close()
        await stream.http.handle(StreamClosed(stream_id=stream.stream_id))
        await self._sender.flush()
        if self._streams:
            self._rearm()
        elif self._sender.gone_away or self._must_close():
            await self._sender.go_away()
            await self._send(Closed())
        else:
            await self._send(Updated(idle=True))

    def _rearm(self) -> None:
        """While requests are in flight, time runs for their bodies only."""
        deadline = min((stream.body_deadline for stream in self._streams.values()), default=inf)
        self._wait_for(deadline - trio.current_time())

    async def _fail(self, code: Codes | None, reason: str) -> None:
        get_logger("net").debug("http2-failed", reason=reason)
        self._failed = True
        await self._sender.fail(code)
        await self._send(Closed())
