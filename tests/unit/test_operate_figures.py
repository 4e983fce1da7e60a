"""From counters that only go up to rates and percentiles, and from looks to what the page is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from ordermgmt.admin import create_admin_app
from ordermgmt.figures import Figures
from ordermgmt.operate import domain
from ordermgmt.operate.contract import TrustEdge
from ordermgmt.operate.domain import EdgeKey
from ordermgmt.operate.recorder import INTERVAL, KEPT, Look, Recorder, Subject
from ordermgmt.supervision.health import Board, Probes, State
from ordermgmt.telemetry.edges import Edges
from ordermgmt.telemetry.metrics import BOUNDS, Figure, render
from ordermgmt.testing.clocks import VirtualClock
from ordermgmt.threads import InlineThreads
from tests.unit.test_admin import drive

BUCKETS = len(BOUNDS) + 1
STOCK = EdgeKey("order", "inventory", "stock")
counts = st.lists(st.integers(0, 1000), min_size=BUCKETS, max_size=BUCKETS).map(tuple)


def figures(edges: Edges) -> Mapping[str, Sequence[Figure]]:
    return {"order": edges.figures()}


@given(counts)
def test_percentiles_lie_within_the_bucket_that_they_fall_into(found: tuple[int, ...]) -> None:
    told = [value for share in (0.5, 0.95, 0.99) if (value := domain.percentile(found, share)) is not None]
    if not any(found):
        assert told == []
        return
    bounds = (0.0, *BOUNDS, BOUNDS[-1])
    assert told == sorted(told)
    for share, value in zip((0.5, 0.95, 0.99), told, strict=True):
        seen, place = 0, 0
        while seen + found[place] < sum(found) * share:
            seen, place = seen + found[place], place + 1
        assert bounds[place] <= value <= bounds[place + 1]


def test_rates_are_of_what_came_between_two_looks() -> None:
    edges = Edges()
    observe = edges.to("inventory", "stock")
    for _ in range(4):
        observe(0.02, "ok")
    before = domain.totals(figures(edges))[STOCK]
    for seconds, outcome in ((0.02, "ok"), (0.02, "ok"), (0.3, "refused"), (9.0, "failed"), (30.0, "cancelled")):
        observe(seconds, outcome)  # type: ignore[arg-type]
    now = domain.totals(figures(edges))[STOCK]
    sample = domain.sample_edge(STOCK, before, now, 2.0)
    assert (sample.rate, sample.failures) == (2.5, 1.0)
    status = domain.gauge_edge(STOCK, before, now, 2.0)
    assert (status.ok, status.refused, status.failed, status.cancelled) == (2, 1, 1, 1)
    assert sum(status.counts) == 5
    assert status.p99 == BOUNDS[-1]  # all that is known of the slowest is that it took longer


def test_a_caller_that_started_anew_counts_from_nothing() -> None:
    before = {"ok": tuple(range(BUCKETS))}
    fresh = {"ok": (1,) + (0,) * (BUCKETS - 1)}
    assert domain.sample_edge(STOCK, before, fresh, 1.0).rate == 1.0


def test_an_edge_is_told_to_prometheus_as_a_histogram() -> None:
    edges = Edges()
    edges.to("inventory", "stock")(0.02, "ok")
    edges.to("inventory", "stock")(99.0, "ok")
    text = render(figures(edges)).decode()
    labels = 'service="order",to="inventory",what="stock",outcome="ok"'
    assert "# TYPE ordermgmt_call_seconds histogram" in text
    rows = [row for row in text.splitlines() if 'outcome="ok"' in row]
    found = dict(row.rsplit(" ", 1) for row in rows)

    def bucket(le: str) -> str:
        (value,) = [value for row, value in found.items() if f'le="{le}"' in row]
        return value

    assert (bucket("0.01"), bucket("0.025"), bucket("10.0"), bucket("+Inf")) == ("0.0", "1.0", "1.0", "2.0")
    (total,) = [value for row, value in found.items() if "_sum" in row]
    assert float(total) == pytest.approx(99.02)
    assert all(label in rows[0] for label in labels.split(","))


def test_the_journal_and_issuers_are_found_among_all_figures() -> None:
    own = [
        Figure("ordermgmt_journal_unfinished", "gauge", "", 3),
        Figure("ordermgmt_journal_stuck", "gauge", "", 1),
        Figure("ordermgmt_journal_oldest_seconds", "gauge", "", 12.5),
        Figure("ordermgmt_jwks_keys", "gauge", "", 0, {"issuer": "https://sts"}),
    ]
    journal = domain.journal({"order": own})
    assert journal is not None
    assert (journal.unfinished, journal.stuck, journal.oldest) == (3, 1, 12.5)
    assert domain.journal({"order": own[:2]}) is None
    (issuer,) = domain.issuers({"order": own})
    assert (issuer.service, issuer.issuer, issuer.keys, issuer.age) == ("order", "https://sts", 0, None)


def recorder(board: Board, edges: Edges, folder: Path) -> Recorder:
    async def look() -> Look:
        await trio.lowlevel.checkpoint()
        return Look(figures(edges), {"order": "no database"})

    trust = [TrustEdge("order", "inventory", ("change_inventory",), "certificate")]
    subject = Subject(board, look, {"order": {"listen": "127.0.0.1:9090"}}, trust, folder, 4711)
    return Recorder(subject, VirtualClock(), InlineThreads())


async def test_looks_are_kept_for_a_while_and_numbered_on(tmp_path: Path, autojump_clock: MockClock) -> None:
    board, edges = Board(["order"]), Edges()
    observe = edges.to("inventory", "stock")
    recording = recorder(board, edges, tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(recording.run)
        for _ in range(KEPT + 20):
            observe(0.02, "ok")
            await trio.sleep(INTERVAL)
        nursery.cancel_scope.cancel()
    history = msgspec.json.decode(recording.history())
    numbers = [sample["number"] for sample in history["samples"]]
    assert (history["interval"], len(numbers)) == (INTERVAL, KEPT)
    assert numbers == list(range(numbers[0], numbers[0] + KEPT))
    (edge,) = msgspec.json.decode(recording.status())["edges"]
    assert (edge["window"], edge["ok"], edge["rate"]) == (60.0, 30, 0.5)


async def test_states_are_of_now_and_reasons_of_the_last_look(tmp_path: Path, autojump_clock: MockClock) -> None:
    board = Board(["order"], pid=7)
    recording = recorder(board, Edges(), tmp_path)

    def told() -> Any:
        (service,) = msgspec.json.decode(recording.status())["services"]
        return service["state"], service["reason"], service["error"]

    async with trio.open_nursery() as nursery:
        await nursery.start(recording.run)
        board.record("order", State.RUNNING)
        await trio.sleep(INTERVAL + 1)
        assert told() == ("running", "no database", None)
        board.record("order", State.BACKING_OFF, error="it was killed")
        assert told() == ("backing_off", None, "it was killed")
        status = msgspec.json.decode(recording.status())
        assert [(one["name"], one["not_after"]) for one in status["certificates"]] == [("ca", None), ("order", None)]
        assert "cannot read" in status["certificates"][0]["problem"]
        nursery.cancel_scope.cancel()


async def test_of_workers_there_is_one_for_each_and_one_certificate_for_all(tmp_path: Path) -> None:
    board = Board(("order-1", "order-2"), services={"order-1": "order", "order-2": "order"})
    board.record("order-2", State.BACKING_OFF, error="it was killed")
    recording = recorder(board, Edges(), tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(recording.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    status = msgspec.json.decode(recording.status())
    assert [(one["name"], one["worker"], one["error"]) for one in status["services"]] == [
        ("order", "order-1", None),
        ("order", "order-2", "it was killed"),
    ]
    assert {tuple(one["addresses"].values()) for one in status["services"]} == {("127.0.0.1:9090",)}
    assert [one["name"] for one in status["certificates"]] == ["ca", "order"]


async def test_the_admin_listener_sends_a_report_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    board = Board(["order"])
    reports = {"/status": recorder(board, Edges(), tmp_path).status}
    app = create_admin_app(board, Probes(), Figures(board, {}), reports)

    async def ask(method: str, tag: bytes = b"") -> tuple[int, dict[bytes, bytes], bytes]:
        headers = [(b"if-none-match", tag)] if tag else []
        scope = {"type": "http", "method": method, "path": "/status", "headers": headers}
        head, body = await drive(app, scope)
        return head["status"], dict(head["headers"]), body["body"]

    status, headers, body = await ask("GET")
    assert (status, headers[b"content-type"]) == (200, b"application/json")
    assert msgspec.json.decode(body)["pid"] == 4711
    assert (await ask("HEAD"))[2] == b""
    assert (await ask("GET", headers[b"etag"]))[::2] == (304, b"")
    assert (await ask("GET", b'"other"'))[0] == 200
    board.record("order", State.RUNNING)
    assert (await ask("GET", headers[b"etag"]))[0] == 200
    assert (await ask("POST"))[0] == 405
