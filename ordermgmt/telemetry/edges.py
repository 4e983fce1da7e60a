"""How many requests go over an edge of the system, how long they take, and how they end: rate, errors, duration.

An edge is measured at the end that waits, which is who sends. What a service answers is measured by route, too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from ordermgmt.telemetry.metrics import BOUNDS, Figure

__all__ = ["CALLS", "REQUESTS", "Edges", "Observe", "ObserveRequest", "Outcome", "known_method", "outcome_of"]

CALLS = "ordermgmt_call_seconds"
REQUESTS = "ordermgmt_request_seconds"

Outcome = Literal["ok", "refused", "failed", "cancelled"]
"""Below 400; 4xx; 5xx or no answer; given up by whoever waited, most often because it took too long."""
Observe = Callable[[float, Outcome], None]
"""Is told of each request how many seconds it took, and how it ended."""
ObserveRequest = Callable[[str, str, float, Outcome], None]
"""Is told of each request its method and its route, how many seconds it took, and how it ended."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_OTHER = "_OTHER"
"""Any other method, as OpenTelemetry has it."""

_MEANING = {
    CALLS: "Time that requests to other services took.",
    REQUESTS: "Time until the answers to requests began.",
}


def outcome_of(status: int) -> Outcome:
    """Return what an answer with this status is."""
    return "failed" if status >= 500 else "refused" if status >= 400 else "ok"


def known_method(method: str) -> str:
    """Return the method, or `_OTHER`: a client may make up any, and what is told of requests has only a few."""
    return method if method in _METHODS else _OTHER


class _Durations:
    """The requests of one edge that ended the same way."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0


class Edges:
    """The edges and routes of one service. What it keeps is bounded by their number, of which the code has dozens."""

    def __init__(self) -> None:
        self._durations: dict[tuple[str, str, str], dict[Outcome, _Durations]] = {}
        self._observers: dict[tuple[str, str], Observe] = {}

    def to(self, service: str, what: str) -> Observe:
        """Return what is told of the requests to `service` for `what` is asked of it. The same edge adds up."""
        return self._observe(CALLS, service, what)

    def answered(self, method: str, route: str, seconds: float, outcome: Outcome) -> None:
        """Count a request to this service. A method that is none of ours is one with all others."""
        key = known_method(method), route
        observe = self._observers.get(key)
        if observe is None:
            observe = self._observers[key] = self._observe(REQUESTS, *key)
        observe(seconds, outcome)

    def _observe(self, name: str, first: str, second: str) -> Observe:
        # There from the start, so that a rate of the first request can be told.
        by_outcome = self._durations.setdefault((name, first, second), {"ok": _Durations(), "failed": _Durations()})

        def observe(seconds: float, outcome: Outcome) -> None:
            durations = by_outcome.get(outcome)
            if durations is None:
                durations = by_outcome[outcome] = _Durations()
            durations.counts[bisect_left(BOUNDS, seconds)] += 1
            durations.total += seconds

        return observe

    def figures(self) -> Sequence[Figure]:
        """Return a histogram for each edge and outcome."""
        return list(self._figures())

    def _figures(self) -> Iterator[Figure]:
        for (name, first, second), by_outcome in self._durations.items():
            where = {"to": first, "what": second} if name == CALLS else {"method": first, "route": second}
            for outcome, durations in by_outcome.items():
                labels = {**where, "outcome": outcome}
                yield Figure(name, "histogram", _MEANING[name], durations.total, labels, tuple(durations.counts))
