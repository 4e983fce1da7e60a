"""How many requests go over an edge of the system, how long they take, and how they end: rate, errors, duration.

An edge is measured at the end that waits: a service measures the requests that it sends, and a service that anybody
may call those that it answers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from ordermgmt.telemetry.metrics import BOUNDS, Figure

__all__ = ["CALLS", "REQUESTS", "Edges", "Observe", "Outcome", "outcome_of"]

CALLS = "ordermgmt_call_seconds"
REQUESTS = "ordermgmt_request_seconds"

Outcome = Literal["ok", "refused", "failed", "cancelled"]
"""Below 400; 4xx; 5xx or no answer; given up by whoever waited, most often because it took too long."""
Observe = Callable[[float, Outcome], None]
"""Is told of each request how many seconds it took, and how it ended."""

_MEANING = {
    CALLS: "Seconds that requests to another service took.",
    REQUESTS: "Seconds until requests of clients were answered.",
}


def outcome_of(status: int) -> Outcome:
    """Return what an answer with this status is."""
    return "failed" if status >= 500 else "refused" if status >= 400 else "ok"


class _Durations:
    """The requests of one edge that ended the same way."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0


class Edges:
    """The edges of one service. What it keeps is bounded by the number of edges, of which the code has a dozen."""

    def __init__(self) -> None:
        self._durations: dict[tuple[str, str, str], dict[Outcome, _Durations]] = {}

    def to(self, service: str, what: str) -> Observe:
        """Return what is told of the requests to `service` for `what` is asked of it. The same edge adds up."""
        return self._observe(CALLS, service, what)

    def from_clients(self) -> Observe:
        """Return what is told of the requests that clients send here."""
        return self._observe(REQUESTS, "", "")

    def _observe(self, name: str, service: str, what: str) -> Observe:
        # There from the start, so that a rate of the first request can be told.
        by_outcome = self._durations.setdefault((name, service, what), {"ok": _Durations(), "failed": _Durations()})

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
        for (name, service, what), by_outcome in self._durations.items():
            where = {"to": service, "what": what} if name == CALLS else {}
            for outcome, durations in by_outcome.items():
                labels = {**where, "outcome": outcome}
                yield Figure(name, "histogram", _MEANING[name], durations.total, labels, tuple(durations.counts))
