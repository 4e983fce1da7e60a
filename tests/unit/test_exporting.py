"""Spans on their way out: bounded, counted, and no business of whoever is served."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from random import Random

import pytest

from ordermgmt.config import TelemetryConfig
from ordermgmt.errors import StartError
from ordermgmt.telemetry import exporting
from ordermgmt.telemetry.exporting import BATCH, MAX_WAITING, ExportQueue, open_exporter
from ordermgmt.telemetry.trace import Span, Tracer
from ordermgmt.testing.clocks import VirtualClock
from ordermgmt.threads import InlineThreads


class Receiver:
    """Takes batches, unless it has a reason not to."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.reason: str | None = None

    def send(self, spans: Sequence[Span]) -> str | None:
        self.sizes.append(len(spans))
        return self.reason


def record(queue: ExportQueue, count: int) -> None:
    tracer = Tracer(Random(1).randbytes, VirtualClock(), queue, rate=1e6)  # noqa: S311 - repeats
    for _ in range(count):
        with tracer.root("work"):
            pass


def counts(queue: ExportQueue) -> list[float]:
    """Return how many were exported, found the queue full, and were not taken."""
    return [figure.value for figure in queue.figures()]


def work(queue: ExportQueue) -> None:
    """Do what the thread does, to its end."""
    queue._closing = True
    queue.run()


async def test_what_is_left_is_sent_at_the_end_in_batches() -> None:
    receiver = Receiver()
    queue = ExportQueue("order", receiver.send)
    record(queue, BATCH + 3)
    work(queue)
    assert receiver.sizes == [BATCH, 3]
    assert counts(queue) == [BATCH + 3, 0, 0]


async def test_what_does_not_fit_is_dropped_and_counted() -> None:
    receiver = Receiver()
    queue = ExportQueue("order", receiver.send)
    record(queue, MAX_WAITING + 5)
    assert counts(queue) == [0, 5, 0]
    work(queue)
    assert sum(receiver.sizes) == MAX_WAITING
    record(queue, 1)
    work(queue)
    assert counts(queue) == [MAX_WAITING + 1, 5, 0]


async def test_what_is_not_taken_is_counted_and_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    receiver = Receiver()
    queue = ExportQueue("order", receiver.send)
    for reason in (None, "down", "down", None, None):
        receiver.reason = reason
        record(queue, 2)
        work(queue)
    assert counts(queue) == [6, 0, 4]
    said = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert said == ["spans-not-exported", "spans-exported-again"]


async def test_the_end_does_not_wait_for_a_collector_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "CLOSE", 0.0)
    queue = ExportQueue("order", Receiver().send)
    record(queue, 1)
    assert not queue.close()  # nobody runs it
    queue.run()  # and whoever comes late leaves at once
    assert counts(queue) == [0, 0, 0]


async def test_without_an_endpoint_there_is_nothing() -> None:
    async with open_exporter("order", TelemetryConfig(), InlineThreads()) as exporter:
        assert exporter is None


@pytest.mark.parametrize(
    "endpoint",
    [
        "collector",
        "127.0.0.1:4318",
        "grpc://127.0.0.1:4317",
        "http://",
        "http://127.0.0.1:port/v1/traces",
        "http://me:secret@127.0.0.1/v1/traces",
        "http://127.0.0.1/v1/traces?key=secret",
    ],
)
async def test_an_endpoint_that_is_none_is_named(endpoint: str) -> None:
    with pytest.raises(StartError, match=r"^telemetry\.otlp_endpoint: not a URL") as refused:
        await _open(endpoint)
    assert "secret" not in str(refused.value)


async def test_the_extra_is_named_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ordermgmt.telemetry.otlp", None)
    monkeypatch.delattr("ordermgmt.telemetry.otlp", raising=False)
    with pytest.raises(
        StartError, match=r"telemetry\.otlp_endpoint: traces need the extra `otel`: pip install 'ordermgmt\[otel\]'"
    ):
        await _open("http://127.0.0.1:4318/v1/traces")


async def _open(endpoint: str) -> None:
    async with open_exporter("order", TelemetryConfig(otlp_endpoint=endpoint), InlineThreads()):
        pass
