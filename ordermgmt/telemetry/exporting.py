"""The way of recorded spans out of the process: a bounded queue, and a thread that sends what is in it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from ordermgmt.config import TelemetryConfig
from ordermgmt.errors import StartError
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.telemetry.metrics import Figure
from ordermgmt.telemetry.trace import Exporter, Span
from ordermgmt.threads import Threads, start_daemon

__all__ = ["BATCH", "MAX_WAITING", "ExportQueue", "Send", "open_exporter"]

MAX_WAITING = 2048
"""Spans that wait to be sent: at 1.5 kB each 3 MB, and 20 MB if all had as many links as a span can have. Some 150
creates a second fill it within the second in which it is emptied; what more there is, is dropped."""
BATCH = 512
"""Spans of one request to the collector: about 200 kB."""
INTERVAL = 1.0
"""Seconds that a span waits at most for others to go with, while the collector answers."""
CLOSE = 1.0
"""Seconds that a service waits in its end for what is left to be sent."""

Send = Callable[[Sequence[Span]], str | None]
"""Sends spans, in the queue's thread; returns None, or why they did not arrive. It is bounded, and raises nothing."""


class ExportQueue:
    """Sends spans with `send`, in a thread of its own: `run` is what that thread does.

    `take` costs an append, whatever the collector does. The thread looks every second, or when a batch is full.
    """

    def __init__(self, service: str, send: Send) -> None:
        self._service = service
        self._send = send
        self._waiting: deque[Span] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._abandoned = False
        self._ended = threading.Event()
        self._full = 0  # counted by the loop, the other two by the thread
        self._failed = 0
        self._exported = 0
        self._works = True

    def take(self, span: Span) -> None:
        """Take a span that has ended; it is dropped, and counted, if too many wait."""
        if len(self._waiting) >= MAX_WAITING:
            self._full += 1
            return
        self._waiting.append(span)
        if len(self._waiting) == BATCH:
            self._wake.set()

    def figures(self) -> Sequence[Figure]:
        """Return what became of spans since the service started."""
        dropped = "Spans that were dropped: too many waited, or the collector did not take them."
        return (
            Figure("ordermgmt_spans_exported_total", "counter", "Spans that the collector took.", self._exported),
            Figure("ordermgmt_spans_dropped_total", "counter", dropped, self._full, {"why": "queue-full"}),
            Figure("ordermgmt_spans_dropped_total", "counter", dropped, self._failed, {"why": "not-taken"}),
        )

    def run(self) -> None:
        """Send what there is until closed, and then what is left."""
        try:
            while not self._closing or (self._waiting and not self._abandoned):
                if len(self._waiting) < BATCH and not self._closing:
                    self._wake.wait(INTERVAL)
                self._wake.clear()
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                if batch:
                    self._report(batch, self._send(batch))
        finally:
            self._ended.set()

    def _report(self, batch: Sequence[Span], failure: str | None) -> None:
        """Count, and tell the log when it begins to fail, and when it works again."""
        if failure is None:
            self._exported += len(batch)
        else:
            self._failed += len(batch)
        if self._works is not (failure is None):
            self._works = failure is None
            log = get_logger(self._service)
            if failure is None:
                log.info("spans-exported-again")
            else:
                log.warning("spans-not-exported", reason=failure)

    def close(self) -> bool:
        """Send what is left, for a second at most; False if that was not enough. It blocks."""
        self._closing = True
        self._wake.set()
        self._abandoned = not self._ended.wait(CLOSE)
        return not self._abandoned


@asynccontextmanager
async def open_exporter(service: str, config: TelemetryConfig, threads: Threads) -> AsyncIterator[Exporter | None]:
    """Open what sends the spans of `service` to the configured collector: None without one.

    Leaving the block sends what is left, for a second at most. Raises StartError for an endpoint that is none, and
    if the extra `otel` is not there.
    """
    if not config.otlp_endpoint:
        yield None
        return
    # Only who exports has to have it.
    try:
        from ordermgmt.telemetry import otlp  # noqa: PLC0415
    except ImportError as error:
        msg = "telemetry.otlp_endpoint: traces need the extra `otel`: pip install 'ordermgmt[otel]'"
        raise StartError(msg) from error
    collector = otlp.Collector(service, config.otlp_endpoint, config.otlp_ca_file)
    queue = ExportQueue(service, collector.send)
    start_daemon(queue.run, f"spans of {service}")
    try:
        yield queue
    finally:
        with trio.CancelScope(shield=True):  # bounded by `close` itself
            await threads.run(queue.close)
        collector.close()
