"""Figures of the services, in the text format that Prometheus reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Literal

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["BOUNDS", "CONTENT_TYPE", "Figure", "Meter", "render"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of a histogram of seconds; what took longer is in one more."""


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One figure of a service: a gauge as it is, a counter or a histogram since its service started.

    A plain value, as it may come from another process. `name` ends with its unit, a counter's with `_total`. Figures of
    one name have the same `labels`, with other values. `counts` are a histogram's, one for each of `BOUNDS` and one for
    what is above, each without the others; its `value` is the sum of what was observed. `together` says what a gauge is
    of several processes: the highest, the lowest or the sum of theirs. Counters and histograms are added.
    """

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    meaning: str
    value: float
    labels: Mapping[str, str] = {}
    counts: tuple[int, ...] = ()
    together: Literal["highest", "lowest", "sum"] = "highest"


Meter = Callable[[], Awaitable[Sequence[Figure]]]
"""Reads a service's figures. It is cancel-safe."""

_FAMILIES = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily, "histogram": HistogramMetricFamily}
_LE = (*map(str, BOUNDS), "+Inf")


class _Families(Collector):
    def __init__(self, figures: Mapping[str, Sequence[Figure]]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for service, figures in self._figures.items():
            for figure in figures:
                family = families.get(figure.name)
                if family is None:
                    kind = _FAMILIES[figure.kind]
                    labels = ["service", *figure.labels]
                    family = families[figure.name] = kind(figure.name, figure.meaning, labels=labels)
                _add(family, [service, *figure.labels.values()], figure)
        return families.values()


def _add(family: Metric, labels: Sequence[str], figure: Figure) -> None:
    if isinstance(family, HistogramMetricFamily):
        cumulative = map(float, accumulate(figure.counts))
        family.add_metric(labels, list(zip(_LE, cumulative, strict=True)), figure.value)
    elif isinstance(family, GaugeMetricFamily | CounterMetricFamily):
        family.add_metric(labels, figure.value)


def render(figures: Mapping[str, Sequence[Figure]]) -> bytes:
    """Render the figures of each service, which becomes the label `service`."""
    registry = CollectorRegistry()
    registry.register(_Families(figures))
    return generate_latest(registry)
