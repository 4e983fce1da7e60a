"""Figures of the services, in the text format that Prometheus reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Literal

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE", "Figure", "Meter", "render"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Figure(msgspec.Struct, frozen=True):
    """One figure of a service: a gauge as it is, a counter since its service started.

    A plain value, as it may come from another process. `name` ends with its unit, a counter's with `_total`.
    """

    name: str
    kind: Literal["gauge", "counter"]
    meaning: str
    value: float


Meter = Callable[[], Awaitable[Sequence[Figure]]]
"""Reads a service's figures. It is cancel-safe."""


class _Families(Collector):
    def __init__(self, figures: Mapping[str, Sequence[Figure]]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for service, figures in self._figures.items():
            for figure in figures:
                family = families.get(figure.name)
                if family is None:
                    kind = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
                    family = families[figure.name] = kind(figure.name, figure.meaning, labels=["service"])
                family.add_metric([service], figure.value)
        return families.values()


def render(figures: Mapping[str, Sequence[Figure]]) -> bytes:
    """Render the figures of each service, which becomes the label `service`."""
    registry = CollectorRegistry()
    registry.register(_Families(figures))
    return generate_latest(registry)
