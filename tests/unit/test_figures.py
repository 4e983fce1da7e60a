"""What a process, its caches and its routes tell of themselves."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import trio
import trio.lowlevel

from ordermgmt.admin import create_admin_app
from ordermgmt.errors import Unavailable
from ordermgmt.figures import SUPERVISOR, Figures
from ordermgmt.gateway.contract import API_PREFIX, ROUTES
from ordermgmt.storage import Transaction, unready_reason
from ordermgmt.supervision.control import LONGEST, Measured
from ordermgmt.supervision.health import Board, Probes
from ordermgmt.telemetry.caches import Lookups
from ordermgmt.telemetry.edges import Edges
from ordermgmt.telemetry.metrics import Figure
from ordermgmt.telemetry.process import LoopWatch
from tests.unit.test_admin import drive

R = TypeVar("R")


def by_name(figures: Any) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures}


async def test_a_turn_of_the_loop_that_takes_long_is_its_lag() -> None:
    with LoopWatch() as watch:
        await trio.lowlevel.checkpoint()
        before = time.perf_counter()
        while time.perf_counter() < before + 0.03:
            pass
        await trio.lowlevel.checkpoint()
        lag = by_name(await watch.figures())["ordermgmt_loop_lag_seconds"]
    assert lag.value >= 0.03
    assert sum(lag.counts[5:]) >= 1  # of 25 ms and more
    turns = sum(lag.counts)
    await trio.lowlevel.checkpoint()
    assert sum(by_name(await watch.figures())["ordermgmt_loop_lag_seconds"].counts) == turns


async def test_a_process_tells_what_it_takes() -> None:
    found = by_name(await LoopWatch().figures())
    assert found["ordermgmt_tasks"].value >= 1
    assert found["ordermgmt_process_cpu_seconds_total"].value > 0
    assert found["ordermgmt_process_resident_memory_bytes"].value > 10**7
    assert found["ordermgmt_process_open_fds"].value >= 3
    assert found["ordermgmt_build_info"].labels.keys() == {"version", "python"}


async def test_the_supervisor_has_figures_of_its_own() -> None:
    board = Board({})
    app = create_admin_app(board, Probes(), Figures(board, {}, LoopWatch().figures))
    _, body = await drive(app, {"type": "http", "method": "GET", "path": "/metrics"})
    assert f'ordermgmt_tasks{{service="{SUPERVISOR}"}}' in body["body"].decode()


async def test_a_cache_tells_hits_misses_and_size() -> None:
    lookups = Lookups("exchanges", lambda: 7)
    for found in (True, False, True):
        lookups.count(found=found)
    hits, misses, entries = await lookups.figures()
    assert (hits.value, misses.value, entries.value) == (2, 1, 7)
    assert hits.labels == {"cache": "exchanges", "result": "hit"}


def test_routes_are_counted_and_no_client_can_make_more_of_them() -> None:
    edges = Edges()
    edges.answered("GET", "/order", 0.2, "ok")
    for method in ("BREW", "PROPFIND", "GET\x00"):
        edges.answered(method, "/order", 0.2, "refused")
    counted = {(one.labels["method"], one.labels["outcome"]): sum(one.counts) for one in edges.figures()}
    assert counted == {
        ("GET", "ok"): 1,
        ("GET", "failed"): 0,
        ("_OTHER", "ok"): 0,
        ("_OTHER", "failed"): 0,
        ("_OTHER", "refused"): 3,
    }


def test_the_figures_of_all_routes_fit_through_the_control_channel() -> None:
    edges = Edges()
    for route in ROUTES:
        for path in (route.path, f"{API_PREFIX}{route.path}"):
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "_OTHER"):
                for outcome in ("ok", "refused", "failed", "cancelled"):
                    edges.answered(method, path, 123456.789, outcome)
    assert len(msgspec.json.encode(Measured(tuple(edges.figures())))) < LONGEST


class Away:
    """A database that cannot be read."""

    async def read(self, _: Callable[[Transaction], R]) -> R:
        raise Unavailable("storage-unavailable", "the database is away")

    async def write(self, _: Callable[[Transaction], R]) -> R:
        raise NotImplementedError


async def test_a_database_that_is_away_is_why_nobody_is_ready() -> None:
    ask: Callable[[Any], Awaitable[str | None]] = unready_reason
    assert "the database is away" in str(await ask(Away()))
