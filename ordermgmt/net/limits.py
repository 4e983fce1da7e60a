"""What one client may take of a listener: time, bytes, connections."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MAX_BODY", "Limits"]

MAX_BODY = 256 * 1024
"""Bytes of a request's body: an order of 1,000 lines has 80 KiB."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one listener. Times are in seconds, sizes in bytes.

    An idle TLS connection was measured at 39 KiB with HTTP/1.1 and 53 KiB with HTTP/2: OpenSSL's buffers, two tasks,
    the parser. All `connections` of a listener at rest are 6,000 * 53 KiB = 311 MiB. One that is busy takes at most,
    on top of that, a read of 64 KiB, a head of 16 KiB, `max_body`, and 64 KiB that wait to be sent beside the answer
    itself: 400 KiB and the answer. HTTP/2 allows four bodies and 100 answers at once instead: 1.1 MiB and the answers.
    """

    handshake: float = 10.0
    """From accept to the end of the TLS handshake."""
    header: float = 15.0
    """For a whole head, however it trickles: the first one from accept on, a later one from its first byte on."""
    body: float = 30.0
    """For a whole body, from the end of its head on: `max_body` at 9 KB/s. After it the answer is 408."""
    idle: float = 30.0
    """From the end of a response to the first byte of the next request."""
    send: float = 30.0
    """For every 64 KiB that the client has to take: 2 KB/s."""
    lifetime: float = 540.0
    """After which a connection ends with its next response, so that removed trust ends too."""
    overtime: float = 60.0
    """What a connection still gets after its lifetime; then it is cut, 10 minutes after accept."""
    drain_delay: float = 0.0
    """For which a listener that is to drain takes requests all the same, each with word that the connection ends."""
    farewell: float = 0.1
    """For a request that is on its way to an idle connection, or to one that begins, when these end with the drain."""
    close: float = 2.0
    """For the closing itself."""
    linger_bytes: int = 1024 * 1024
    """What is read and thrown away at most, so that an early answer is not lost to a reset: a few bodies' worth."""
    max_body: int = MAX_BODY
    """Of a request, however it is framed; a longer one is 413. The application's own limit should be the same."""
    connections: int = 6000
    """Of one listener. Each is an open file: see `open_files`."""
    connections_per_address: int = 5500
    """Of one client address, or of one IPv6 network of /64, which one client can own: leaves others 500."""
