"""The log: one line per event, from structlog and from the standard library alike, that nobody can forge.

For programs a line is an object of JSON, for a terminal it is in colour; `rendering` has both. Within a request each
says which it is, and who it comes from; see `requests`.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any, TextIO

import structlog
from structlog.typing import FilteringBoundLogger

from ordermgmt.clock import SystemClock, rfc3339
from ordermgmt.telemetry.rendering import render_json, render_pretty
from ordermgmt.telemetry.requests import current_request

__all__ = ["configure_logs", "get_logger", "write_line"]

_clock = SystemClock()

ATOMIC = 4096
"""Bytes: what Linux writes to a pipe in one piece (pipe(7), PIPE_BUF)."""


def get_logger(service: str) -> FilteringBoundLogger:
    """Return a logger whose lines carry `service`. May be made, and used, before `configure_logs`."""
    logger: FilteringBoundLogger = structlog.wrap_logger(
        _OUTPUT,
        processors=[
            structlog.processors.add_log_level,
            _stamp,
            structlog.processors.format_exc_info,
            _add_request,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
        service=service,
    )
    return logger


def write_line(service: str, level: str, event: str, fields: Mapping[str, object]) -> None:
    """Write a line with just these fields, which hold no exception.

    It looks like one of `get_logger`, for a third of its cost: for what is said of every request.
    """
    line = {"timestamp": _now(), "level": level, "service": service, "event": event, **fields}
    _OUTPUT.write(_render(None, level, line))


def configure_logs(stream: TextIO, *, pretty: bool, shared: bool = False, process: str | None = None) -> None:
    """Send every log line of the process to `stream`, which stays the caller's to close. Before: to stderr, as JSON.

    `pretty` is for a terminal: colours, and tracebacks below their line; otherwise a line is JSON. Libraries that use
    the standard library's logging are heard from WARNING up, under their logger's name as service. A log call waits
    for nothing but the write to `stream`, and a stream that is broken or closed raises nothing.

    `shared` means that other processes write to the same stream: lines of JSON are then at most `ATOMIC` bytes long,
    which a pipe takes in one piece, so that no line is torn by another. What is left out is in the middle of values.
    `process` is the service that this process is for: lines of anything else, such as a library, then name it too.
    """
    _OUTPUT.stream = stream
    _OUTPUT.pretty = pretty
    _OUTPUT.process = process
    _OUTPUT.longest = ATOMIC if shared and not pretty else None
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _FromStandardLibrary)]:
        root.removeHandler(handler)
    root.addHandler(_FromStandardLibrary())
    root.setLevel(logging.WARNING)


class _Output:
    """Where lines go; any thread may write."""

    def __init__(self) -> None:
        self.stream: TextIO | None = None
        self.pretty = False
        self.process: str | None = None
        self.longest: int | None = None
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        """Write one line. A service must not fail because nobody reads its log any more."""
        stream = self.stream or sys.stderr
        encoding = getattr(stream, "encoding", None) or "utf-8"
        safe = line if line.isascii() else line.encode(encoding, "backslashreplace").decode(encoding)
        with self._lock:
            try:
                stream.write(f"{safe}\n")
                stream.flush()
            except (OSError, ValueError):
                pass

    debug = info = warning = error = critical = write


_OUTPUT = _Output()  # one for the process, as its standard streams are


class _FromStandardLibrary(logging.Handler):
    """Hands records of `logging` on to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            get_logger(record.name).log(record.levelno, record.getMessage(), exc_info=record.exc_info)
        except Exception:  # noqa: BLE001 - a record whose arguments do not fit its format: logging's own way to say so
            self.handleError(record)


def _stamp(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["timestamp"] = _now()
    return event


def _now() -> str:
    """Return the time, to the microsecond. Its date and second are written once for all lines of that second."""
    seconds, part = divmod(_clock.now(), 1.0)
    return f"{_second(int(seconds))}.{int(part * 1_000_000):06d}Z"


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return rfc3339(seconds).removesuffix("Z")


def _add_request(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Say which request it is about; what the line itself says counts more."""
    request = current_request()
    if request is None:
        return event
    for name, value in request.fields().items():
        event.setdefault(name, value)
    return event


def _render(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    if _OUTPUT.process is not None and event.get("service") != _OUTPUT.process:
        event["process"] = _OUTPUT.process
    # One character is for the end of the line.
    longest = None if _OUTPUT.longest is None else _OUTPUT.longest - 1
    return render_pretty(event) if _OUTPUT.pretty else render_json(event, longest)
