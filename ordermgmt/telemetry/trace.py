"""Spans: pieces of work of a trace, from the request at the door to a commit on disk.

Every request has a span with ids, which log lines name and which requests that it causes carry on. Only a span that is
recorded has more: when it began and ended, how, and whence it came. It is handed to an `Exporter` when it has ended.

An attribute says what kind of work it was: a method, the pattern of a route, a status. Never a token, a key, a cookie,
a query or anything of a body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Literal, NamedTuple, Protocol, Self

import trio

from ordermgmt import errors
from ordermgmt.clock import Clock
from ordermgmt.ids import Entropy
from ordermgmt.telemetry.edges import Outcome, known_method, outcome_of
from ordermgmt.telemetry.metrics import Figure
from ordermgmt.telemetry.trace_context import TRACEPARENT, TRACESTATE, parse, render

__all__ = [
    "MAX_LINKS",
    "BeginSpan",
    "Exporter",
    "Kind",
    "Link",
    "Span",
    "Tracer",
    "child",
    "current_span",
    "linked",
    "name_by_route",
]

MAX_LINKS = 128
"""Links of one span, as OpenTelemetry has it: 10 kB. What more there are of them, goes untold; a count says so."""

Kind = Literal["server", "client", "internal"]
Attribute = str | int | float | bool

_TRACEPARENT = TRACEPARENT.encode()
_TRACESTATE = TRACESTATE.encode()
_current: ContextVar[Span | None] = ContextVar("_current", default=None)


class Link(NamedTuple):
    """Another span that has to do with one, in whichever trace."""

    trace_id: str
    span_id: str


class Exporter(Protocol):
    """Takes spans to where they are kept."""

    def take(self, span: Span, /) -> None:
        """Take a span that has ended. It neither waits nor raises: what it cannot take it drops, and counts."""
        ...

    def figures(self) -> Sequence[Figure]:
        """Return how many it has taken where they are kept, and dropped."""
        ...


class Span:
    """A piece of work. `with` makes it the current one, and ends it; made by a `Tracer`, `child` or `linked`.

    `sampled` is what the requests that it causes are told, `recorded` whether this span goes anywhere itself: only then
    do the others mean anything. `began_at` is in seconds since 1970, `seconds` is how long it took.
    """

    __slots__ = (
        "_begun",
        "_token",
        "attributes",
        "began_at",
        "error",
        "kind",
        "links",
        "name",
        "outcome",
        "parent_id",
        "recorded",
        "sampled",
        "seconds",
        "span_id",
        "state",
        "trace_id",
        "tracer",
    )

    def __init__(self, tracer: Tracer, trace_id: str, span_id: str, parent_id: str | None, *, sampled: bool) -> None:
        self.tracer = tracer
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_id = parent_id
        self.sampled = sampled
        self.recorded = sampled and tracer.exporter is not None
        self.state = ""
        self._token: Token[Span | None] | None = None
        if self.recorded:
            self.name = ""
            self.kind: Kind = "internal"
            self.attributes: dict[str, Attribute] = {}
            self.links: list[Link] = []
            self.outcome: Outcome | None = None
            self.error: str | None = None
            self.began_at = tracer.clock.now()
            self._begun = trio.current_time()
            self.seconds = 0.0

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The header fields with which a request says that it is part of this."""
        return render(self.trace_id, self.span_id, self.state, sampled=self.sampled)

    def link(self, others: Iterable[Span]) -> None:
        """Note other spans that this one has to do with."""
        found = [Link(other.trace_id, other.span_id) for other in others]
        self.links += found[: MAX_LINKS - len(self.links)]

    def answered(self, status: int) -> None:
        """Note the status of an answer: the one that was given, or that was got."""
        self.attributes["http.response.status_code"] = status
        self.conclude(outcome_of(status), str(status))

    def conclude(self, outcome: Outcome, error: str) -> None:
        """Note how the work came out. `error` is a code, for what did not come out well."""
        self.outcome = outcome
        self.error = error if outcome in {"failed", "cancelled"} else None

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)
            self._token = None  # it holds the context of the task, and a span may wait long to be exported
        if self.recorded:
            self.seconds = trio.current_time() - self._begun
            if error is not None:
                self.conclude(*_reason(error))
            self.tracer.end(self)


def _reason(error: BaseException) -> tuple[Outcome, str]:
    """Say what an exception means: refusals are answers, and what is not an Exception can only be a cancellation."""
    if isinstance(error, errors.Error):
        return outcome_of(error.status), error.code
    if isinstance(error, Exception):
        return "failed", type(error).__name__
    return "cancelled", "cancelled"


BeginSpan = Callable[[str, Sequence[tuple[bytes, bytes]]], Span]
"""Makes the span of a request that was received: its method and its header fields, with names in lower case."""


class Tracer:
    """Makes the spans of one service. Without an `exporter` none is recorded, but requests have ids all the same.

    Of the traces that begin here, at most `rate` are recorded in a second, and as many at once (one, if it is lower).
    """

    def __init__(self, entropy: Entropy, clock: Clock, exporter: Exporter | None = None, *, rate: float = 10.0) -> None:
        self.clock = clock
        self.exporter = exporter
        self._entropy = entropy
        self._rate = rate
        self._most = max(rate, 1.0) if rate else 0.0
        self._left = self._most
        self._counted_at = 0.0

    def serve(self, method: str, fields: Sequence[tuple[bytes, bytes]]) -> Span:
        """Make the span of a request of another service, which says whether it is recorded."""
        return self._serve(method, fields, trusted=True)

    def serve_public(self, method: str, fields: Sequence[tuple[bytes, bytes]]) -> Span:
        """Make the span of a request of anybody. A trace of theirs goes on; whether it is recorded is ours to say."""
        return self._serve(method, fields, trusted=False)

    def _serve(self, method: str, fields: Sequence[tuple[bytes, bytes]], *, trusted: bool) -> Span:
        ids = self._entropy(24).hex()
        parents = [value for name, value in fields if name == _TRACEPARENT]
        said = parse(parents, [value for name, value in fields if name == _TRACESTATE]) if parents else None
        sampled = said.sampled if said is not None and trusted else self.exporter is not None and self._samples()
        if said is None:
            span = Span(self, ids[:32], ids[32:], None, sampled=sampled)
        else:
            span = Span(self, said.trace_id, ids[32:], said.span_id, sampled=sampled)
            span.state = said.state
        if span.recorded:
            span.name, span.kind = known_method(method), "server"
            span.attributes["http.request.method"] = span.name
        return span

    def _samples(self) -> bool:
        """Decide of a trace that begins, by what is left: not by its id, which its sender may have chosen."""
        now = trio.current_time()
        self._left = min(self._left + (now - self._counted_at) * self._rate, self._most)
        self._counted_at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def root(self, name: str, kind: Kind = "internal") -> Span:
        """Make a span that begins a trace."""
        return self._begin(name, kind, sampled=self.exporter is not None and self._samples())

    def linked_to(self, others: Sequence[Span], name: str) -> Span:
        """Make a span that begins a trace, for work that is done for recorded others: they and it are linked."""
        span = self._begin(name, "internal", sampled=True)
        span.link(others)
        for other in others:
            other.link([span])
        return span

    def _begin(self, name: str, kind: Kind, *, sampled: bool) -> Span:
        ids = self._entropy(24).hex()
        span = Span(self, ids[:32], ids[32:], None, sampled=sampled)
        if span.recorded:
            span.name, span.kind = name, kind
        return span

    def child_of(self, parent: Span, name: str, kind: Kind) -> Span:
        """Make a span for a part of the work of a recorded one."""
        span = Span(self, parent.trace_id, self._entropy(8).hex(), parent.span_id, sampled=True)
        span.name, span.kind, span.state = name, kind, parent.state
        return span

    def end(self, span: Span) -> None:
        """Hand on a span that has ended."""
        if self.exporter is not None:
            self.exporter.take(span)


_NOTHING = nullcontext()
"""Stands for a span that nobody records: the current one stays what it is."""


def current_span() -> Span | None:
    """Return the span that the current task works for: None if it works for no request."""
    return _current.get()


def name_by_route(method: str, rule: str) -> None:
    """Name the span of the current request by its route, which is one of a few, as its path is not."""
    span = _current.get()
    if span is not None and span.recorded:
        span.name = f"{method} {rule}"
        span.attributes["http.route"] = rule


def child(name: str, kind: Kind = "internal") -> Span | nullcontext[None]:
    """Return a span for a part of the current one's work, to be entered; entered, it is None if nobody records it."""
    span = _current.get()
    return span.tracer.child_of(span, name, kind) if span is not None and span.recorded else _NOTHING


def linked(name: str, others: Iterable[Span | None]) -> Span | nullcontext[None]:
    """Return a span for work that is done for `others` together, to be entered; as with `child` it may be None."""
    recorded = [other for other in others if other is not None and other.recorded]
    return recorded[0].tracer.linked_to(recorded, name) if recorded else _NOTHING
