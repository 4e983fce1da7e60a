"""The log: one line per event, from structlog and from the standard library alike, that nobody can forge.

A plain line is `timestamp level service event key=value ...`. A part that holds a space, a quote, `=`, a backslash
or anything unprintable is quoted and escaped, so neither a line nor a key can be smuggled in with a value.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import MutableMapping
from typing import Any, Generic, TextIO, TypeVar

import structlog
from structlog.typing import FilteringBoundLogger

__all__ = ["Secret", "configure_logs", "get_logger"]

T = TypeVar("T")

ATOMIC = 4096
"""Bytes: what Linux writes to a pipe in one piece (pipe(7), PIPE_BUF)."""
OMISSION = b" ... "

_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31;1"}


class Secret(Generic[T]):
    """A value that must not be shown: everything but `reveal` prints `[redacted]`."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """Return the value itself. Never pass it to a log call or an error's text."""
        return self._value

    def __repr__(self) -> str:
        return "[redacted]"


def get_logger(service: str) -> FilteringBoundLogger:
    """Return a logger whose lines carry `service`. May be made, and used, before `configure_logs`."""
    logger: FilteringBoundLogger = structlog.wrap_logger(
        _OUTPUT,
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
        service=service,
    )
    return logger


def configure_logs(stream: TextIO, *, pretty: bool, shared: bool = False, process: str | None = None) -> None:
    """Send every log line of the process to `stream`, which stays the caller's to close. Before: to stderr, plain.

    `pretty` is for a terminal: colours, and tracebacks below their line instead of in it. Libraries that use the
    standard library's logging are heard from WARNING up, under their logger's name as service. A log call
    waits for nothing but the write to `stream`, and a stream that is broken or closed raises nothing.

    `shared` means that other processes write to the same stream: plain lines are then at most `ATOMIC` bytes long,
    which a pipe takes in one piece, so that no line is torn by another. What is left out is in the middle. `process`
    is the service that this process is for: lines of anything else, such as a library, then name it too.
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
        encoded = line.encode(encoding, "backslashreplace")
        if self.longest is not None and len(encoded) >= self.longest:  # one byte is for the end of the line
            encoded = _shorten(encoded, self.longest - 1)
        safe = encoded.decode(encoding, "ignore")  # a character that was cut in two
        with self._lock, contextlib.suppress(OSError, ValueError):
            stream.write(f"{safe}\n")
            stream.flush()

    debug = info = warning = error = critical = write


def _shorten(line: bytes, size: int) -> bytes:
    """Leave out the middle: a line starts with what happened, and a traceback ends with why."""
    half = (size - len(OMISSION)) // 2
    return line[:half] + OMISSION + line[-half:]


_OUTPUT = _Output()  # one for the process, as its standard streams are


class _FromStandardLibrary(logging.Handler):
    """Hands records of `logging` on to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            get_logger(record.name).log(record.levelno, record.getMessage(), exc_info=record.exc_info)
        except Exception:  # noqa: BLE001 - a record whose arguments do not fit its format: logging's own way to say so
            self.handleError(record)


def _render(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    if _OUTPUT.process is not None and event.get("service") != _OUTPUT.process:
        event["process"] = _OUTPUT.process
    return _render_pretty(event) if _OUTPUT.pretty else _render_plain(event)


def _render_plain(event: MutableMapping[str, Any]) -> str:
    head = [event.pop("timestamp"), event.pop("level"), event.pop("service", "-"), event.pop("event")]
    parts = [_quote(part) for part in head]
    parts += [f"{_quote(key)}={_quote(value)}" for key, value in event.items()]
    return " ".join(parts)


def _render_pretty(event: MutableMapping[str, Any]) -> str:
    level = event.pop("level")
    traceback = str(event.pop("exception", ""))
    parts = [
        _colour("2", _quote(event.pop("timestamp"))),
        _colour(_COLOURS.get(level, "0"), f"{level:<8}"),
        _colour("36", f"{_quote(event.pop('service', '-')):<10}"),
        _colour("1", _escape(str(event.pop("event")))),
    ]
    parts += [f"{_colour('2', _quote(key) + '=')}{_quote(value)}" for key, value in event.items()]
    below = [f"    {_escape(line)}" for line in traceback.splitlines()]
    return "\n".join([" ".join(parts), *below])


def _colour(code: str, text: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m"


def _quote(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not any(character in text for character in " \"'=\\"):
        return text
    escaped = _escape(text.replace("\\", "\\\\").replace('"', '\\"'))
    return f'"{escaped}"'


def _escape(text: str) -> str:
    """Write what is unprintable, which includes every control, separator, bidi and surrogate character, as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
