"""Services start in order, and are started again."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from ordermgmt.errors import StartError
from ordermgmt.supervision.child import ServiceFailed, one_line
from ordermgmt.supervision.health import State
from ordermgmt.supervision.policy import RestartPolicy
from tests.unit.supervision_setup import Suite, crash_after


async def test_services_start_in_order_by_readiness_and_drain_in_reverse(autojump_clock: MockClock) -> None:
    suite = Suite("sts order gateway")
    async with trio.open_nursery() as nursery:
        await nursery.start(suite.run)
        suite.note("all ready")
        assert suite.states == [State.RUNNING] * 3
        suite.stop.set()
    assert suite.journal == [
        (0, "sts starting"),
        (1, "sts ready"),
        (1, "order starting"),
        (2, "order ready"),
        (2, "gateway starting"),
        (3, "gateway ready"),
        (3, "all ready"),
        (3, "gateway draining"),
        (3.5, "gateway done"),
        (3.5, "order draining"),
        (4, "order done"),
        (4, "sts draining"),
        (4.5, "sts done"),
    ]
    assert suite.states == [State.STOPPED] * 3


async def test_a_crash_restarts_that_service_alone_with_growing_delays(autojump_clock: MockClock) -> None:
    suite = Suite("sts order")
    suite.runs["sts"] = suite.service("sts", start=0, serve=partial(crash_after, 7, OSError("gone")))
    await suite.run_for(30)
    # crashes 7 s after each start; the delays between crash and start double
    assert suite.times("sts starting") == pytest.approx([0, 7.1, 14.3, 21.7, 29.5])
    assert suite.times("order starting") == [0]
    assert suite.board.snapshot()["sts"].restarts == 4
    assert suite.board.snapshot()["sts"].error == "OSError: gone"


async def test_delays_start_anew_when_the_window_has_passed(autojump_clock: MockClock) -> None:
    suite = Suite("sts", policy=RestartPolicy(max_restarts=1, window=50))
    suite.runs["sts"] = suite.service("sts", start=0, serve=partial(crash_after, 60, OSError("gone")))
    await suite.run_for(610)
    assert suite.times("sts starting") == pytest.approx([round(60.1 * n, 1) for n in range(11)])


async def test_too_many_crashes_in_the_window_end_the_whole_suite(autojump_clock: MockClock) -> None:
    suite = Suite("sts order gateway")
    suite.runs["order"] = suite.service("order", start=0, serve=partial(crash_after, 1, OSError("disk")))
    with pytest.raises(ServiceFailed, match=r"^order failed 6 times in 60 s, last: OSError: disk$"):
        await suite.run()
    assert len(suite.times("order starting")) == 6
    assert suite.journal[-4:] == [
        (10.1, "gateway draining"),
        (10.6, "gateway done"),
        (10.6, "sts draining"),
        (11.1, "sts done"),
    ]
    assert suite.states == [State.STOPPED, State.FAILED, State.STOPPED]


async def test_a_restart_that_cannot_start_counts_as_a_crash(autojump_clock: MockClock) -> None:
    suite = Suite("sts")
    attempts: list[float] = []

    async def run(_draining: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
        attempts.append(trio.current_time())
        if len(attempts) == 1:
            task_status.started()
        await trio.sleep(1)
        msg = "port is taken"
        raise StartError(msg)

    suite.runs["sts"] = run
    with pytest.raises(ServiceFailed, match=r"^sts failed 6 times in 60 s, last: port is taken$"):
        await suite.run()
    assert len(attempts) == 6


async def test_a_first_start_that_fails_is_named_not_repeated_and_drains_what_was_started(
    autojump_clock: MockClock,
) -> None:
    suite = Suite("sts inventory order gateway")

    async def run(_draining: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
        assert task_status is not None
        suite.note("order starting")
        await trio.sleep(1)
        msg = "cannot listen on 127.0.0.1:9090:\nAddress already in use"
        raise StartError(msg)

    suite.runs["order"] = run
    expected = r"^order cannot start: cannot listen on 127\.0\.0\.1:9090: Address already in use$"
    with pytest.raises(StartError, match=expected):
        await suite.run()
    assert suite.journal[4:] == [
        (2, "order starting"),
        (3, "inventory draining"),
        (3.5, "inventory done"),
        (3.5, "sts draining"),
        (4, "sts done"),
    ]
    assert suite.states == [State.STOPPED, State.STOPPED, State.FAILED, State.WAITING]


async def test_a_failed_first_start_reaches_whoever_started_the_suite_as_one_error(autojump_clock: MockClock) -> None:
    suite = Suite("sts")
    suite.runs["sts"] = suite.service("sts", start=-1)  # trio.sleep refuses it
    async with trio.open_nursery() as nursery:
        with pytest.raises(StartError, match=r"^sts cannot start: ValueError: "):
            await nursery.start(suite.run)


@pytest.mark.parametrize("ready", [True, False])
async def test_returning_without_being_asked_is_a_crash(autojump_clock: MockClock, *, ready: bool) -> None:
    suite = Suite("sts", policy=RestartPolicy(max_restarts=2))

    async def run(_draining: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
        await trio.lowlevel.checkpoint()
        if ready:
            task_status.started()

    suite.runs["sts"] = run
    with pytest.raises(ServiceFailed if ready else StartError) as caught:
        await suite.run()
    if ready:
        assert str(caught.value) == "sts failed 3 times in 60 s, last: returned although nobody had asked it to stop"
    else:
        assert str(caught.value).startswith("sts cannot start: ")


async def test_a_group_of_errors_becomes_one_line(autojump_clock: MockClock) -> None:
    suite = Suite("sts", policy=RestartPolicy(max_restarts=0))

    both = ExceptionGroup("both", [OSError("gone\nforged line"), ValueError("odd")])
    suite.runs["sts"] = suite.service("sts", serve=partial(crash_after, 1, both))
    with pytest.raises(ServiceFailed, match=r"last: OSError: gone forged line; ValueError: odd$"):
        await suite.run()
    assert suite.board.snapshot()["sts"].error == "OSError: gone forged line; ValueError: odd"


def test_one_line_flattens_groups_once_each_and_stays_short() -> None:
    inner = ExceptionGroup("inner", [ValueError("odd"), KeyError()])
    assert one_line(ExceptionGroup("outer", [inner, ValueError("odd")])) == "ValueError: odd; KeyError"
    assert len(one_line(ValueError("x" * 1000))) == 300
