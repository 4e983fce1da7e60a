"""The figures of several processes of one service, added up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from ordermgmt.telemetry.metrics import Figure

__all__ = ["Sum", "add_up"]


@dataclass(frozen=True, slots=True)
class _Told:
    """What a process told in one of its lives; later ones, and later questions, have higher numbers."""

    life: int
    question: int
    figures: Sequence[Figure]


class Sum:
    """The figures of the processes of one service.

    Counters and histograms never go down: what a process that ended had told stays in the sum, as does what one told
    that cannot tell just now. (A sum that falls looks to Prometheus as if all had begun anew, and counts twice.)
    What was counted between the last time that a process told and its end is lost. Gauges are those of now.
    """

    def __init__(self) -> None:
        self._ended: Sequence[Figure] = ()
        self._told: dict[str, _Told] = {}

    def note(self, process: str, life: int, question: int, figures: Sequence[Figure]) -> None:
        """Take in the answer of a process that had been restarted `life` times when `question` was asked.

        One that comes after that to a later question is left out.
        """
        before = self._told.get(process)
        if before is not None and question < before.question:
            return
        if before is not None and life > before.life:
            self._ended = add_up([self._ended, _lasting(before.figures)])
        self._told[process] = _Told(life, question, figures)

    def total(self, telling: Iterable[str]) -> Sequence[Figure]:
        """Return the sum, in which gauges are those of the processes that are `telling` now."""
        now = set(telling)
        known = [told.figures if name in now else _lasting(told.figures) for name, told in self._told.items()]
        return add_up([*known, self._ended])


def add_up(told: Iterable[Sequence[Figure]]) -> Sequence[Figure]:
    """Return one figure of each name and labels: counters and histograms added, gauges as they say (`together`)."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], Figure] = {}
    for figures in told:
        for figure in figures:
            key = figure.name, frozenset(figure.labels.items())
            found[key] = _both(found[key], figure) if key in found else figure
    return tuple(found.values())


def _both(one: Figure, other: Figure) -> Figure:
    values = one.value, other.value
    if one.kind != "gauge" or one.together == "sum":
        value = sum(values)
    else:
        value = max(values) if one.together == "highest" else min(values)
    counts = tuple(map(sum, zip(one.counts, other.counts, strict=True)))
    return replace(one, value=value, counts=counts)


def _lasting(figures: Sequence[Figure]) -> Sequence[Figure]:
    return [figure for figure in figures if figure.kind != "gauge"]
