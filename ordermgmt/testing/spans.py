"""Spans in memory, of all services of a suite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from ordermgmt.config import TelemetryConfig
from ordermgmt.telemetry.metrics import Figure
from ordermgmt.telemetry.trace import Exporter, Span
from ordermgmt.threads import Threads

__all__ = ["Recorded", "SpanMemory"]


class Recorded(NamedTuple):
    """A span that has ended, and the service that it is of."""

    service: str
    span: Span


class SpanMemory:
    """Keeps spans in the order in which they end. `open` is what a `Runtime` takes as `open_exporter`."""

    def __init__(self) -> None:
        self.recorded: list[Recorded] = []

    @asynccontextmanager
    async def open(self, service: str, _config: TelemetryConfig, _threads: Threads) -> AsyncIterator[Exporter]:
        """Open what takes the spans of a service; there is nothing to close."""
        yield self.of(service)

    def of(self, service: str) -> Exporter:
        """Return what takes the spans of a service."""
        return _OfService(service, self.recorded)

    def named(self, service: str, name: str) -> list[Span]:
        """Return the spans of a service that have this name."""
        return [span for where, span in self.recorded if (where, span.name) == (service, name)]

    def one(self, service: str, name: str) -> Span:
        """Return the one span of a service that has this name. Raises ValueError if there are more, or none."""
        (span,) = self.named(service, name)
        return span


class _OfService:
    def __init__(self, service: str, recorded: list[Recorded]) -> None:
        self._service = service
        self._recorded = recorded

    def take(self, span: Span) -> None:
        self._recorded.append(Recorded(self._service, span))

    def figures(self) -> Sequence[Figure]:
        return ()
