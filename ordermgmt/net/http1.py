"""HTTP/1.1 on one connection: Hypercorn's protocol class, made stricter and quieter on the wire."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Request, Response
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream

from ordermgmt.net.request_head import refusal

__all__ = ["Http1"]

_REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
_VERSIONS = (b"1.0", b"1.1")
_REFUSED_UPGRADES = ("h2c", "websocket")


class _Refused(Exception):
    """The request is not for this server; `status` says why."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


class _Parser(h11.Connection):
    """h11's parser behind a stricter look at each request's head."""

    def next_event(self) -> Any:
        """See h11. Raises RemoteProtocolError."""
        if self.their_state is h11.IDLE:
            status = refusal(self.trailing_data[0])
            if status is not None:
                raise h11.RemoteProtocolError(status.phrase, error_status_hint=status.value)
        return super().next_event()


class Http1(H11Protocol):
    """Answers with reason phrases, sends head and body in one write, and never changes protocol.

    `must_close()` is asked when a response starts: True ends the connection after it, and says so.
    """

    def __init__(self, *arguments: Any, must_close: Callable[[], bool]) -> None:
        super().__init__(*arguments)
        self.connection = _Parser(h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size)
        self._must_close = must_close
        self._held = b""

    @property
    def expects_more(self) -> bool:
        """Whether the client may still be sending: its request is unfinished, or made no sense."""
        return self.connection.their_state in {h11.SEND_BODY, h11.ERROR} or bool(self.connection.trailing_data[0])

    async def handle(self, event: Event) -> None:
        """Take bytes from the client, or the news that it is gone."""
        try:
            await super().handle(event)
        except _Refused as refused:
            await self._send_error_response(refused.status.value)
            await self.send(Closed())

    async def stream_send(self, event: StreamEvent) -> None:
        """Take an event from the application's side."""
        if isinstance(event, Response) and event.status_code >= HTTPStatus.OK:
            await self._send_h11_event(self._head(event.status_code, event.headers))
        else:
            await super().stream_send(event)

    def _head(self, status: int, headers: list[tuple[bytes, bytes]]) -> h11.Response:
        headers = [*headers, *self.config.response_headers("h11")]
        # A request whose body is not read to its end leaves bytes that cannot be told from the next request.
        if self._must_close() or self.connection.their_state is h11.SEND_BODY:
            headers.append((b"connection", b"close"))
        return h11.Response(status_code=status, headers=headers, reason=_REASONS.get(status, b""))

    async def _send_h11_event(self, event: Any) -> None:
        try:
            data = self.connection.send(event) or b""
        except h11.LocalProtocolError:
            # A client that has broken the protocol has had its answer, whatever the application still says.
            if self.connection.their_state is not h11.ERROR:
                raise
            return
        # A head that promises a body is held for it: one write, one packet, one TLS record. A streamed
        # response promises no length, and its head leaves at once, so that a quiet stream is seen to open.
        if isinstance(event, h11.Response) and _promises_body(event):
            self._held = data
            return
        data, self._held = self._held + data, b""
        if data:
            await self.send(RawData(data=data))

    async def _send_error_response(self, status_code: int) -> None:
        headers = [(b"content-length", b"0"), (b"connection", b"close")]
        head = h11.Response(
            status_code=status_code,
            headers=[*headers, *self.config.response_headers("h11")],
            reason=_REASONS.get(status_code, b""),
        )
        await self._send_h11_event(head)
        await self._send_h11_event(h11.EndOfMessage())

    async def _check_protocol(self, event: h11.Request) -> None:
        if event.http_version not in _VERSIONS:
            raise _Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        names = [name for name, _ in event.headers]
        if b"transfer-encoding" in names and (b"content-length" in names or event.http_version == b"1.0"):
            raise _Refused(HTTPStatus.BAD_REQUEST)  # RFC 9112 section 6.1: an attempt at smuggling
        for name, value in event.headers:
            if name == b"upgrade" and value.decode("latin-1").strip().lower() in _REFUSED_UPGRADES:
                raise _Refused(HTTPStatus.NOT_IMPLEMENTED)

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
                method=request.method.decode("ascii").upper(),
                raw_path=request.target,
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1


def _promises_body(head: h11.Response) -> bool:
    return any(name == b"content-length" and value != b"0" for name, value in head.headers)
