"""One request is one trace through all services; what is done for several at once is linked with each of them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from ordermgmt.config import Config, TelemetryConfig
from ordermgmt.net.outbound import Response
from ordermgmt.telemetry import exporting
from ordermgmt.telemetry.exporting import ExportQueue
from ordermgmt.telemetry.trace import Exporter, Link, Span
from ordermgmt.testing.faults import delay
from ordermgmt.testing.harness import RunningSystem, running_system
from ordermgmt.testing.memory import MemoryNetwork
from ordermgmt.testing.spans import SpanMemory

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
EVERYTHING = Config(telemetry=TelemetryConfig(traces_per_second=1000))
PARENT_FIELD = ("traceparent", f"00-{TRACE}-{PARENT}-01")


def order(order_id: str) -> dict[str, Any]:
    return {"id": order_id, "name": "One", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}


@asynccontextmanager
async def recording(folder: Path) -> AsyncIterator[tuple[RunningSystem, SpanMemory, str]]:
    """Run a suite whose spans are kept, with a token that is good at the gateway."""
    memory = SpanMemory()
    async with running_system(folder, config=EVERYTHING, exporters=memory.open) as system:
        token = await system.token("admin-app")
        await wait_all_tasks_blocked()
        memory.recorded.clear()
        yield system, memory, token


async def create(system: RunningSystem, token: str, order_id: str, *headers: tuple[str, str]) -> Response:
    return await system.request("gateway", "POST", "/order", token=token, json=order(order_id), headers=headers)


def link_to(span: Span) -> Link:
    return Link(span.trace_id, span.span_id)


def ways(memory: SpanMemory, trace_id: str) -> set[str]:
    """Return each span of a trace with those above it."""
    spans = {span.span_id: (where, span) for where, span in memory.recorded if span.trace_id == trace_id}

    def way(span_id: str | None) -> str:
        if span_id is None or span_id not in spans:
            return "" if span_id is None else "client"
        where, span = spans[span_id]
        return f"{way(span.parent_id)} > {where} {span.name}".removeprefix(" > ")

    return {way(span_id) for span_id in spans}


async def test_one_create_through_the_gateway_is_one_trace(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with recording(tmp_path) as (system, memory, token):
        answer = await create(system, token, "o1", PARENT_FIELD, ("tracestate", "vendor=x"))
        await wait_all_tasks_blocked()
    assert answer.status == 201
    gateway = "client > gateway POST /order"
    served = f"{gateway} > gateway POST order > order POST /order"
    assert ways(memory, TRACE) == {
        gateway,
        f"{gateway} > gateway POST sts",
        f"{gateway} > gateway POST sts > sts POST /oauth2/token",
        f"{gateway} > gateway POST order",
        served,
        f"{served} > order intent",
        f"{served} > order inventory",
        f"{served} > order outcome",
    }
    assert {span.state for _, span in memory.recorded if span.trace_id == TRACE} == {"vendor=x"}
    assert {span.outcome for _, span in memory.recorded} <= {"ok", None}

    batch, step = memory.one("order", "batch"), memory.one("order", "inventory")
    assert (batch.parent_id, step.links) == (None, [link_to(batch)])
    fetched = memory.one("order", "fetch token")
    assert (batch.links, fetched.links) == ([link_to(step), link_to(fetched)], [link_to(batch)])
    stock = "order batch > order POST inventory"
    assert ways(memory, batch.trace_id) == {
        "order batch",
        stock,
        f"{stock} > inventory POST /inventory/operations",
    }
    assert ways(memory, fetched.trace_id) == {
        "order fetch token",
        "order fetch token > order POST sts",
        "order fetch token > order POST sts > sts POST /oauth2/token",
    }


async def test_a_commit_is_linked_with_what_it_is_for(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with recording(tmp_path) as (system, memory, token):
        await create(system, token, "o1")
        await wait_all_tasks_blocked()
    for service, name in (("order", "intent"), ("order", "outcome"), ("inventory", "POST /inventory/operations")):
        span = memory.one(service, name)
        (commit,) = [one for one in memory.named(service, "commit") if link_to(span) in one.links]
        assert link_to(commit) in span.links
        assert (commit.parent_id, commit.outcome) == (None, "ok")


async def test_creates_that_travel_together_are_linked_with_one_batch(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with recording(tmp_path) as (system, memory, token):
        await create(system, token, "o0")
        memory.recorded.clear()
        async with trio.open_nursery() as nursery:
            for number in range(1, 9):
                nursery.start_soon(create, system, token, f"o{number}")
        await wait_all_tasks_blocked()
    steps = memory.named("order", "inventory")
    assert len({step.trace_id for step in steps}) == 8
    batches = memory.named("order", "batch")
    assert sorted(link for batch in batches for link in batch.links) == sorted(map(link_to, steps))
    together = [batch for batch in batches if len(batch.links) > 1]
    assert together
    assert all(batch.attributes["ordermgmt.operations"] == len(batch.links) for batch in batches)
    assert {batch.trace_id for batch in batches}.isdisjoint(step.trace_id for step in steps)
    shared = [commit for commit in memory.named("order", "commit") if len(commit.links) > 1]
    assert shared
    assert all(commit.attributes["ordermgmt.transactions"] == len(commit.links) for commit in shared)


async def test_a_request_that_is_given_up_is_marked(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with recording(tmp_path) as (system, memory, token):
        await create(system, token, "o1")
        memory.recorded.clear()
        network = system.runtime.network
        assert isinstance(network, MemoryNetwork)
        with delay(network, system.address("inventory"), "answers", 2.0), trio.move_on_after(1):
            await create(system, token, "o2")
        await trio.sleep(5)
    for service, name in (("gateway", "POST /order"), ("gateway", "POST order"), ("order", "POST /order")):
        span = memory.one(service, name)
        assert (span.outcome, span.error) == ("cancelled", "cancelled"), name
    # The change itself goes on, and is part of the trace.
    outcome = memory.one("order", "outcome")
    assert (outcome.trace_id, outcome.outcome) == (memory.one("gateway", "POST /order").trace_id, None)


async def test_refusals_are_answers_and_failures_are_errors(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with recording(tmp_path) as (system, memory, token):
        await create(system, token, "o1")
        memory.recorded.clear()
        assert (await create(system, token, "o1")).status == 409
        await wait_all_tasks_blocked()
        refused = memory.one("gateway", "POST /order")
        assert (refused.outcome, refused.error) == ("refused", None)
        assert refused.attributes["http.response.status_code"] == 409
        memory.recorded.clear()
        assert (await system.request("gateway", "GET", "/nowhere")).status == 404
        await wait_all_tasks_blocked()
        assert memory.one("gateway", "GET").outcome == "refused"  # no route, so no name of one


async def test_nothing_secret_is_told(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    secrets = [("idempotency-key", "key-of-mine"), ("cookie", "cookie-of-mine"), ("x-own", "header-of-mine")]
    async with recording(tmp_path) as (system, memory, token):
        assert (await create(system, token, "id-of-mine", *secrets)).status == 201
        await system.request("gateway", "GET", "/order?cursor=query-of-mine", token=token)
        await wait_all_tasks_blocked()
    told = repr([(span.name, span.attributes, span.error, span.links) for _, span in memory.recorded])
    assert "of-mine" not in told
    assert token not in told
    assert "eyJ" not in told
    assert "978-1617295959" not in told


async def test_outside_nobody_decides_what_is_recorded_and_inside_it_is_decided_once(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    nothing = Config(telemetry=TelemetryConfig(traces_per_second=0))
    memory = SpanMemory()
    async with running_system(tmp_path, config=nothing, exporters=memory.open) as system:
        token = await system.token("admin-app")
        assert (await create(system, token, "o1", PARENT_FIELD)).status == 201
        await wait_all_tasks_blocked()
        assert memory.recorded == []
        # The order service is for the gateway, which has decided.
        token = await system.order_token("admin-app")
        await system.request("order", "POST", "/order", token=token, json=order("o2"), headers=[PARENT_FIELD])
        await wait_all_tasks_blocked()
    assert {service for service, _ in memory.recorded} == {"order", "inventory"}
    assert memory.one("order", "POST /order").parent_id == PARENT


async def test_a_collector_that_takes_nothing_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    """Its queue is full, and never gets empty."""
    monkeypatch.setattr(exporting, "MAX_WAITING", 3)

    @asynccontextmanager
    async def full(service: str, *_: object) -> AsyncIterator[Exporter]:
        yield ExportQueue(service, lambda _: "down")

    async with running_system(tmp_path, exporters=full) as system:
        token = await system.token("admin-app")
        for number in range(3):
            assert (await create(system, token, f"o{number}")).status == 201
        figures = await (await system.admin_client()).request("GET", "/metrics")
    dropped = re.findall(r'spans_dropped_total{service="order",why="queue-full"} (.*)', figures.content.decode())
    assert float(*dropped) > 10


async def test_without_an_exporter_a_trace_goes_on_all_the_same(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path) as system:
        token = await system.token("admin-app")
        for parent in ("00-rubbish", PARENT_FIELD[1], f"{PARENT_FIELD[1]}-more"):
            answer = await system.request("gateway", "GET", "/order", token=token, headers=[("traceparent", parent)])
            assert answer.status == 200
