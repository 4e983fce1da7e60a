"""From figures that only ever go up to what happens now: rates and percentiles. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ordermgmt.operate.contract import EdgeSample, EdgeStatus, Issuer, Journal
from ordermgmt.telemetry.edges import CALLS, REQUESTS
from ordermgmt.telemetry.metrics import BOUNDS, Figure

__all__ = ["EdgeKey", "Totals", "gauge_edge", "issuers", "journal", "percentile", "sample_edge", "totals"]

_BUCKETS = len(BOUNDS) + 1
_NONE = (0,) * _BUCKETS
PUBLIC = "gateway"
"""The service whose requests are those of clients from outside."""

Figures = Mapping[str, Sequence[Figure]]
"""By service."""


class EdgeKey(NamedTuple):
    """An edge by its ends, and by what is asked over it. Clients from outside have no name."""

    caller: str
    service: str
    what: str


Totals = Mapping[str, tuple[int, ...]]
"""Requests by outcome, and by bucket of `BOUNDS`, since the caller started."""


def totals(figures: Figures) -> dict[EdgeKey, Totals]:
    """Return what was counted of each edge."""
    found: dict[EdgeKey, dict[str, tuple[int, ...]]] = {}
    if PUBLIC in figures:
        found[EdgeKey("", PUBLIC, "requests")] = {"ok": _NONE, "failed": _NONE}
    for service, own in figures.items():
        for figure in own:
            if figure.name == CALLS:
                key = EdgeKey(service, figure.labels["to"], figure.labels["what"])
            elif figure.name == REQUESTS and service == PUBLIC:
                key = EdgeKey("", service, "requests")
            else:
                continue
            by_outcome, outcome = found.setdefault(key, {}), figure.labels["outcome"]
            # the routes of one service add up
            by_outcome[outcome] = _add(by_outcome.get(outcome, _NONE), figure.counts)
    return {key: found[key] for key in sorted(found)}


def _add(counts: tuple[int, ...], more: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(sum, zip(counts, more, strict=True)))


def _since(before: Totals, now: Totals) -> Totals:
    """Return what came between: all of it, if the caller started anew meanwhile."""
    restarted = any(
        new < old
        for outcome, counts in before.items()
        for old, new in zip(counts, now.get(outcome, _NONE), strict=True)
    )
    if restarted:
        return now
    return {
        outcome: tuple(new - old for new, old in zip(counts, before.get(outcome, _NONE), strict=True))
        for outcome, counts in now.items()
    }


def _all_counts(totals: Totals) -> tuple[int, ...]:
    return tuple(map(sum, zip(_NONE, *totals.values(), strict=True)))


def percentile(counts: Sequence[int], share: float) -> float | None:
    """Estimate from a histogram what a `share` of all stayed below; None without any.

    Within a bucket requests are taken to be spread evenly; what is above the last bound is told as that bound.
    """
    wanted = sum(counts) * share
    if not wanted:
        return None
    lower, seen = 0.0, 0
    for bound, count in zip(BOUNDS, counts, strict=False):
        if seen + count >= wanted:
            return lower + (bound - lower) * (wanted - seen) / count
        lower, seen = bound, seen + count
    return BOUNDS[-1]


def sample_edge(key: EdgeKey, before: Totals, now: Totals, seconds: float) -> EdgeSample:
    """Return an edge between two looks that are `seconds` apart."""
    came = _since(before, now)
    counts = _all_counts(came)
    failures = sum(sum(came.get(outcome, ())) for outcome in ("failed", "cancelled"))
    return EdgeSample(
        *key,
        round(sum(counts) / seconds, 3),
        round(failures / seconds, 3),
        percentile(counts, 0.5),
        percentile(counts, 0.95),
    )


def gauge_edge(key: EdgeKey, before: Totals, now: Totals, seconds: float) -> EdgeStatus:
    """Return an edge over a longer time."""
    came = _since(before, now)
    counts = _all_counts(came)
    ok, refused, failed, cancelled = (
        sum(came.get(outcome, ())) for outcome in ("ok", "refused", "failed", "cancelled")
    )
    p50, p95, p99 = (percentile(counts, share) for share in (0.5, 0.95, 0.99))
    rate = round(sum(counts) / seconds, 3)
    return EdgeStatus(*key, round(seconds, 3), rate, ok, refused, failed, cancelled, p50, p95, p99, counts)


def issuers(figures: Figures) -> Iterable[Issuer]:
    """Yield what each service knows of each issuer's keys."""
    for service, own in figures.items():
        ages = {f.labels["issuer"]: f.value for f in own if f.name == "ordermgmt_jwks_age_seconds"}
        for figure in own:
            if figure.name == "ordermgmt_jwks_keys":
                issuer = figure.labels["issuer"]
                yield Issuer(service, issuer, int(figure.value), ages.get(issuer))


def journal(figures: Figures) -> Journal | None:
    """Return the backlog of the order service; None if it is not here, or does not run."""
    values = {figure.name: figure.value for own in figures.values() for figure in own if not figure.labels}
    try:
        return Journal(
            int(values["ordermgmt_journal_unfinished"]),
            int(values["ordermgmt_journal_stuck"]),
            values["ordermgmt_journal_oldest_seconds"],
        )
    except KeyError:
        return None
