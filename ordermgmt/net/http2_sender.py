"""What an HTTP/2 connection sends: h2 makes the frames, the windows of the client let them through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import h2.config
import h2.connection
import h2.errors
import h2.exceptions
import h2.settings
import hyperframe.frame
from hypercorn.config import Config
from hypercorn.events import Event, RawData

from ordermgmt.net import problem
from ordermgmt.net.http2_frames import MAX_FRAME
from ordermgmt.net.http2_head import Fields, are_well_formed
from ordermgmt.net.http2_stream import Http2Stream
from ordermgmt.net.refused import Refused
from ordermgmt.net.request_head import MAX_HEAD

__all__ = ["MAX_STREAMS", "Codes", "Http2Sender", "new_h2"]

MAX_STREAMS = 100
"""Requests in flight, the applications of streams that were reset included. Clients assume as many before our settings
reach them (RFC 9113 section 6.5.2)."""
_OF_THE_CONNECTION = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}

Codes = h2.errors.ErrorCodes


class _H2(h2.connection.H2Connection):
    MAX_CLOSED_STREAMS = 1000  # its memory of how streams ended; 65,536 would be megabytes of each connection


def new_h2() -> h2.connection.H2Connection:
    """Make the server's side of a connection, with our settings in force at once."""
    made = _H2(h2.config.H2Configuration(client_side=False, header_encoding=None))
    made.local_settings = h2.settings.Settings(
        client=False,
        initial_values={
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
            h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEAD,
        },
    )
    made.decoder.max_header_list_size = 2 * MAX_HEAD  # what is a little over the limit gets an answer
    return made


class Http2Sender:
    """Sends the answers of `streams`, which its owner fills and empties."""

    def __init__(
        self,
        connection: h2.connection.H2Connection,
        streams: dict[int, Http2Stream],
        config: Config,
        send: Callable[[Event], Awaitable[None]],
        sent: Callable[[], None],
    ) -> None:
        self._h2 = connection
        self._streams = streams
        self._config = config
        self._send = send
        self._sent = sent
        self.gone_away = False

    async def head(self, stream_id: int, status: int, fields: Fields) -> None:
        """Send the head of an answer. Raises ValueError for fields that cannot be sent, and h2's ProtocolError."""
        fields = [(name.lower(), value) for name, value in fields if name.lower() not in _OF_THE_CONNECTION]
        if not are_well_formed(fields):
            msg = "an answer has a malformed field"
            raise ValueError(msg)
        self._h2.send_headers(stream_id, [(b":status", b"%d" % status), *fields, *self._config.response_headers("h2")])
        await self.flush()

    async def pump(self) -> None:
        """Send what the windows let through, one frame of each stream in turn. Raises h2's ProtocolError."""
        while (stream := self._next()) is not None:
            self._streams[stream.stream_id] = self._streams.pop(stream.stream_id)
            data, end = stream.cut(self._room(stream))
            try:
                self._h2.send_data(stream.stream_id, data, end_stream=end)
            except h2.exceptions.StreamClosedError:
                stream.close()  # reset by the client, and the news of it is still to be taken
                continue
            self._sent()
            await self.flush()
        await self.flush()

    def _next(self) -> Http2Stream | None:
        for stream in self._streams.values():
            if stream.has_something:
                room = self._room(stream)
                if room > 0 or (room == 0 and not stream.outgoing):
                    return stream
        return None

    def _room(self, stream: Http2Stream) -> int:
        """Return how much may be sent now, -1 if the stream has ended meanwhile."""
        try:
            window = self._h2.local_flow_control_window(stream.stream_id)
        except h2.exceptions.ProtocolError:
            return -1
        return max(0, min(window, MAX_FRAME, self._h2.max_outbound_frame_size))

    async def refuse(self, stream_id: int, refused: Refused) -> None:
        """Answer in place of an application, if none has begun to, and end the stream."""
        fields, body = problem.refuse(refused.status, refused.code, refused.detail)
        status: Fields = [(b":status", b"%d" % refused.status.value)]
        named: Fields = [(name.encode(), value.encode()) for name, value in fields]
        try:
            if self._h2.local_flow_control_window(stream_id) >= len(body):
                self._h2.send_headers(stream_id, [*status, *named, *self._config.response_headers("h2")])
                self._h2.send_data(stream_id, body, end_stream=True)
            else:
                self._h2.send_headers(stream_id, status, end_stream=True)
        except h2.exceptions.ProtocolError:
            self.reset(stream_id, Codes.CANCEL)  # an answer is under way already, or the stream is gone
        else:
            self.reset(stream_id, Codes.NO_ERROR)
        await self.flush()

    def reset(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        """End a stream, if it has not ended by itself."""
        try:
            self._h2.reset_stream(stream_id, code)
        except h2.exceptions.ProtocolError:
            return

    async def go_away(self) -> None:
        """Say once that no new streams are taken.

        The frame is made here, as h2 lets nothing follow one of its own: the streams in flight could not end.
        """
        if not self.gone_away:
            self.gone_away = True
            await self.flush()
            last = self._h2.highest_inbound_stream_id
            frame = hyperframe.frame.GoAwayFrame(0, last_stream_id=last, error_code=Codes.NO_ERROR)
            await self._send(RawData(frame.serialize()))

    async def fail(self, code: h2.errors.ErrorCodes | None) -> None:
        """End the connection with an error; None: h2 has said so itself."""
        if code is not None:
            self._h2.close_connection(code)
        await self.flush()

    async def flush(self) -> None:
        """Send the frames that h2 has made."""
        data = self._h2.data_to_send()
        if data:
            await self._send(RawData(data))
