"""Several workers of one service: how they start, end, and are told of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import trio
from trio.testing import MockClock

from ordermgmt.admin import create_admin_app
from ordermgmt.figures import Figures
from ordermgmt.placement import worker_names
from ordermgmt.supervision.child import ServiceFailed
from ordermgmt.supervision.health import Board, Probes, State
from ordermgmt.supervision.policy import RestartPolicy
from ordermgmt.telemetry.metrics import Figure, Meter
from tests.unit.supervision_setup import Suite, crash_after
from tests.unit.test_admin import ask

NAMES = ("sts-1", "sts-2", "sts-3", "order-1", "order-2")
OF = {name: name.partition("-")[0] for name in NAMES}


def test_workers_are_numbered_and_one_alone_is_called_as_its_service() -> None:
    assert worker_names("order", 3) == ("order-1", "order-2", "order-3")
    assert worker_names("order", 1) == ("order",)


def crew(policy: RestartPolicy | None = None) -> Suite:
    suite = Suite(" ".join(NAMES), policy=policy)
    suite.board = Board(NAMES, services=OF)
    return suite


async def test_the_first_of_each_service_start_in_order_then_the_others_at_once(autojump_clock: MockClock) -> None:
    suite = crew()
    await suite.run_for(10)
    ready = [(time, text) for time, text in suite.journal if text.endswith("ready")]
    assert sorted(ready) == [
        (1, "sts-1 ready"), (2, "order-1 ready"), (3, "order-2 ready"), (3, "sts-2 ready"), (3, "sts-3 ready"),
    ]  # fmt: skip


async def test_those_of_one_service_drain_at_once_and_before_those_of_the_one_before(autojump_clock: MockClock) -> None:
    suite = crew()
    suite.runs["order-1"] = suite.service("order-1", drain=2)
    await suite.run_for(10)
    done = {text.removesuffix(" done"): time for time, text in suite.journal if text.endswith("done")}
    assert done == {"order-2": 10.5, "order-1": 12, "sts-1": 12.5, "sts-2": 12.5, "sts-3": 12.5}
    assert set(suite.states) == {State.STOPPED}


async def test_one_that_crashes_is_restarted_alone(autojump_clock: MockClock) -> None:
    suite = crew()
    suite.runs["sts-2"] = suite.service("sts-2", serve=lambda drain: crash_after(3, OSError("gone"), drain))
    await suite.run_for(7)
    assert {name: health.restarts for name, health in suite.board.snapshot().items()} == {
        name: int(name == "sts-2") for name in NAMES
    }
    assert len(suite.times("sts-1 starting")) == len(suite.times("sts-3 starting")) == 1


async def test_one_that_keeps_crashing_ends_the_suite(autojump_clock: MockClock) -> None:
    suite = crew(RestartPolicy(max_restarts=2))
    suite.runs["sts-3"] = suite.service("sts-3", serve=lambda drain: crash_after(0, OSError("gone"), drain))
    with pytest.raises(ServiceFailed, match=r"^sts-3 failed 3 times in 60 s, last: OSError: gone$"):
        await suite.run_for(100)


def board_of_workers() -> Board:
    board = Board(("sts", "order-1", "order-2"), services={"order-1": "order", "order-2": "order"})
    for name in board.snapshot():
        board.record(name, State.RUNNING)
    return board


async def test_a_service_is_ready_when_all_of_its_workers_are() -> None:
    board = board_of_workers()
    app = create_admin_app(board, Probes(), Figures(board, {}))
    answer = await ask(app, "/readyz/order")
    assert (answer.status, answer.json["ready"], list(answer.json["services"])) == (200, True, ["order-1", "order-2"])
    board.record("order-2", State.BACKING_OFF, error="it was killed", restarted=True)
    answer = await ask(app, "/readyz/order")
    assert (answer.status, answer.json["ready"]) == (503, False)
    two = answer.json["services"]["order-2"]
    assert (two["reason"], two["restarts"]) == ("backing_off: it was killed", 1)
    assert (await ask(app, "/readyz/order-2")).json == two
    assert [(await ask(app, path)).status for path in ("/readyz", "/readyz/order-1", "/readyz/sts")] == [503, 200, 200]
    assert list((await ask(app, "/readyz")).json["services"]) == ["sts", "order-1", "order-2"]


def telling(figures: Callable[[], Sequence[Figure]]) -> Meter:
    async def meter() -> Sequence[Figure]:
        await trio.lowlevel.checkpoint()
        return figures()

    return meter


async def test_figures_are_those_of_the_service_through_a_restart(autojump_clock: MockClock) -> None:
    counted = {"order-1": 3, "order-2": 4}

    def of(name: str) -> Meter:
        return telling(lambda: [Figure("commits_total", "counter", "Commits.", counted[name])])

    board = board_of_workers()
    meters = {name: of(name) for name in counted}
    figures = Figures(board, meters)

    async def told() -> dict[str, float]:
        return {figure.name.removeprefix("ordermgmt_"): figure.value for figure in (await figures.read())["order"]}

    assert await told() == {"service_up": 1, "service_restarts_total": 0, "commits_total": 7}
    board.record("order-2", State.BACKING_OFF)
    counted["order-1"] = 5
    assert await told() == {"service_up": 0, "service_restarts_total": 0, "commits_total": 9}
    board.record("order-2", State.STARTING, restarted=True)
    board.record("order-2", State.RUNNING)
    counted["order-2"] = 1
    assert await told() == {"service_up": 1, "service_restarts_total": 1, "commits_total": 10}
    meters["order-1"] = telling(list)  # it has no answer just now
    assert await told() == {"service_up": 0, "service_restarts_total": 1, "commits_total": 10}
