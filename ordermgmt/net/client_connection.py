"""The client's side of one HTTP/1.1 connection: a request in one write, and its answer, read strictly (RFC 9112)."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from math import inf
from typing import Any

import trio

from ordermgmt.net.exchange import Interrupted, Message, Response, TooLong
from ordermgmt.net.lines import Lines
from ordermgmt.net.network import Address
from ordermgmt.net.refused import Refused
from ordermgmt.net.request_body import ChunkedBody
from ordermgmt.net.response_head import MAX_RESPONSE_HEAD, ResponseHead, read_response_head
from ordermgmt.net.tls_seam import ClientTls
from ordermgmt.net.tls_stream import TlsStream

__all__ = ["ClientConnection"]

RECEIVE_SIZE = 65536


class ClientConnection:
    """Carries one request at a time. `wire` is what the network made, `_stream` may have TLS round it.

    Whoever opened it closes it, by its wire. After anything but a whole answer that is all that can be done with it:
    what its methods raise, a cancellation included, leaves it between two bytes. What the network raises is passed on;
    what makes no sense, or ends early, is Interrupted, and TooLong what is more than was asked for.
    """

    def __init__(self, address: Address, wire: trio.abc.Stream) -> None:
        self.address = address
        self.wire = wire
        self.idle_since = 0.0
        self._stream: Any = wire

    async def start_tls(self, tls: ClientTls) -> None:
        """Shake hands. Raises BrokenResourceError, PeerRefused."""
        name = tls.server_hostname or self.address.host
        self._stream = stream = TlsStream(self.wire, tls.context(), server_hostname=name)
        await stream.do_handshake()
        tls.check(stream.getpeercert(binary_form=True))

    async def exchange(self, head: bytes, message: Message) -> tuple[Response, bool]:
        """Return the answer, and whether the connection may be used again."""
        received = bytearray()
        answer = await self._ask(received, head, message)
        content = await self._read_body(received, answer, message.max_answer)
        return Response(answer.status, answer.headers, content), answer.keeps and not received

    async def follow(
        self, head: bytes, message: Message, answered: Callable[[int], None], lines: Lines
    ) -> tuple[int, bool]:
        """Hand on the lines of a 200; return the status, and whether the connection may be used again."""
        received = bytearray()
        answer = await self._ask(received, head, message)
        answered(answer.status)
        if answer.status == HTTPStatus.OK:
            await self._read_parts(received, answer, lines.put)
        else:
            await self._read_body(received, answer, message.max_answer)
        return answer.status, answer.keeps and not received

    async def _ask(self, received: bytearray, head: bytes, message: Message) -> ResponseHead:
        await self._stream.send_all(head + message.content)
        answer = await self._read_head(received, message.method)
        while answer.status < HTTPStatus.OK:
            answer = await self._read_head(received, message.method)
        return answer

    async def _read_head(self, received: bytearray, method: str) -> ResponseHead:
        while (end := received.find(b"\r\n\r\n") + 4) < 4:
            if len(received) > MAX_RESPONSE_HEAD:
                msg = f"the head of the answer is over {MAX_RESPONSE_HEAD} bytes"
                raise Interrupted(msg)
            await self._receive(received)
        head = bytes(received[:end])
        del received[:end]
        return read_response_head(head, method)

    async def _read_body(self, received: bytearray, answer: ResponseHead, limit: int) -> bytes:
        if answer.chunked:
            content = bytearray()
            await self._read_chunks(received, ChunkedBody(limit), content.extend)
            return bytes(content)
        length = limit + 1 if answer.length is None else answer.length
        if answer.length is not None and length > limit:
            raise _too_long(limit)
        while len(received) < length:
            if not await self._receive(received, may_end=answer.length is None):
                break
        if len(received) > limit and answer.length is None:
            raise _too_long(limit)
        content = received[:length]
        del received[:length]
        return bytes(content)

    async def _read_parts(self, received: bytearray, answer: ResponseHead, put: Callable[[bytes], None]) -> None:
        """Hand on what comes when it comes, however much that is."""
        if answer.chunked:
            await self._read_chunks(received, ChunkedBody(inf, inf), put)
            return
        left = answer.length
        while left is None or left:
            if not received and not await self._receive(received, may_end=left is None):
                break
            part = bytes(received[:left])
            del received[:left]
            left = None if left is None else left - len(part)
            put(part)

    async def _read_chunks(self, received: bytearray, body: ChunkedBody, put: Callable[[bytes], None]) -> None:
        try:
            put(body.take(received))
            while not body.done:
                await self._receive(received)
                put(body.take(received))
        except Refused as refused:
            if refused.code == "content-too-large":
                msg = f"the answer is too long: {refused.detail}"
                raise TooLong(msg) from refused
            msg = f"the answer makes no sense: {refused.detail}"
            raise Interrupted(msg) from refused

    async def _receive(self, received: bytearray, *, may_end: bool = False) -> bool:
        """Wait for more; False at the end of the connection, which raises Interrupted unless it `may_end`."""
        data = await self._stream.receive_some(RECEIVE_SIZE)
        received += data
        if not data and not may_end:
            msg = f"{self.address.host}: the connection ended before the answer did"
            raise Interrupted(msg)
        return bool(data)


def _too_long(limit: int) -> TooLong:
    return TooLong(f"the answer is over {limit} bytes")
