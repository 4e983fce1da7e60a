"""Services drain in reverse order, and are cut off in the end."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from ordermgmt.supervision.child import ServiceFailed
from ordermgmt.supervision.health import State
from ordermgmt.supervision.policy import RestartPolicy
from tests.unit.supervision_setup import Suite, crash_after


async def test_a_stuck_service_is_cut_at_the_deadline_with_all_that_had_no_turn(autojump_clock: MockClock) -> None:
    suite = Suite("sts order gateway")
    suite.runs["order"] = suite.service("order", drain=1000)
    with pytest.raises(ServiceFailed, match=r"^order did not drain in time and was cut off$"):
        await suite.run_for(100)
    assert suite.journal[-5:-2] == [(100, "gateway draining"), (100.5, "gateway done"), (100.5, "order draining")]
    assert set(suite.journal[-2:]) == {(110, "order cancelled"), (110, "sts cancelled")}
    health = suite.board.snapshot()
    assert suite.states == [State.FAILED, State.FAILED, State.STOPPED]
    assert health["order"].error == "did not drain in time and was cut off"
    assert health["sts"].error == "had no time to drain and was cut off"


async def test_a_service_that_hides_its_cancellation_was_cut_off_all_the_same(autojump_clock: MockClock) -> None:
    suite = Suite("sts")

    async def run(draining: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await draining.wait()
        try:
            await trio.sleep(1000)
        except trio.Cancelled:  # noqa: ASYNC103 - the fault that is tested
            return  # noqa: ASYNC104

    suite.runs["sts"] = run
    with pytest.raises(ServiceFailed, match="sts did not drain in time"):
        await suite.run_for(5)


async def test_a_crash_while_draining_is_not_restarted_and_fails_the_suite(autojump_clock: MockClock) -> None:
    suite = Suite("sts order")
    suite.runs["order"] = suite.service("order", drain=-1)
    with pytest.raises(ServiceFailed, match=r"^order failed while draining: ValueError"):
        await suite.run_for(5)
    assert len(suite.times("order starting")) == 1
    assert suite.states == [State.STOPPED, State.FAILED]


async def test_a_service_whose_turn_has_not_come_is_still_restarted_while_others_drain(
    autojump_clock: MockClock,
) -> None:
    suite = Suite("sts gateway")
    suite.runs["sts"] = suite.service("sts", start=0, serve=partial(crash_after, 5, OSError("gone")))
    suite.runs["gateway"] = suite.service("gateway", start=0, drain=4)
    await suite.run_for(3)
    assert suite.times("gateway done") == [7]
    assert suite.times("sts starting") == [0, 5.1]


async def test_stopping_during_the_first_start_abandons_it_and_drains_the_rest(autojump_clock: MockClock) -> None:
    suite = Suite("sts order gateway")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(suite.stop_after, 1.5)
        await nursery.start(suite.run)  # returns although not all are ready: `stop` came first
        assert suite.stop.is_set()
    assert suite.journal[2:] == [
        (1, "order starting"),
        (1.5, "order cancelled"),
        (1.5, "sts draining"),
        (2, "sts done"),
    ]
    assert suite.states == [State.STOPPED, State.STOPPED, State.WAITING]


async def test_stopping_before_the_start_starts_nothing_for_long(autojump_clock: MockClock) -> None:
    suite = Suite("sts order")
    suite.stop.set()
    await suite.run()
    assert suite.times("sts ready") == suite.times("order starting") == []
    assert autojump_clock.current_time() == pytest.approx(suite.start)


async def test_stopping_while_a_service_backs_off_ends_at_once(autojump_clock: MockClock) -> None:
    policy = RestartPolicy(first_delay=1000, max_delay=1000)
    suite = Suite("sts", policy=policy)
    suite.runs["sts"] = suite.service("sts", start=0, serve=partial(crash_after, 1, OSError("gone")))
    start = autojump_clock.current_time()
    await suite.run_for(5)
    assert autojump_clock.current_time() - start == pytest.approx(5)
    assert suite.states == [State.STOPPED]


async def test_stopping_while_a_service_restarts_abandons_the_restart(autojump_clock: MockClock) -> None:
    suite = Suite("sts")
    starts: list[float] = []

    async def run(_draining: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
        starts.append(trio.current_time())
        if len(starts) == 1:
            task_status.started()
            await crash_after(1, OSError("gone"), trio.Event())
        await trio.sleep(1000)

    suite.runs["sts"] = run
    start = autojump_clock.current_time()
    await suite.run_for(5)
    assert len(starts) == 2
    assert autojump_clock.current_time() - start == pytest.approx(5)
    assert suite.states == [State.STOPPED]


@pytest.mark.parametrize(
    ("moment", "states"),
    [
        (0.5, [State.STOPPED, State.WAITING]),  # the first starts
        (1.5, [State.FAILED, State.STOPPED]),  # the second starts
        (3, [State.FAILED, State.FAILED]),  # both run
        (8.05, [State.STOPPED, State.FAILED]),  # the first waits for its restart
        (8.5, [State.STOPPED, State.FAILED]),  # the first starts again
        (20.2, [State.FAILED, State.FAILED]),  # the second drains
    ],
)
async def test_cancellation_at_any_point_ends_everything_at_once(
    autojump_clock: MockClock, moment: float, states: list[State]
) -> None:
    suite = Suite("sts order")
    suite.runs["sts"] = suite.service("sts", serve=partial(crash_after, 7, OSError("gone")))
    start = autojump_clock.current_time()
    with trio.move_on_after(moment) as scope:
        await suite.run_for(20)
    assert scope.cancelled_caught
    assert autojump_clock.current_time() - start == pytest.approx(moment)
    assert suite.states == states
