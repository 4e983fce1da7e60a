from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from ordermgmt.errors import StartError
from ordermgmt.supervision.child import Child, Run, ServiceFailed, one_line
from ordermgmt.supervision.health import Board, State
from ordermgmt.supervision.policy import RestartPolicy
from ordermgmt.supervision.tree import supervise

Journal = list[tuple[float, str]]
"""What happened, and when, in seconds since the start of the test rounded to milliseconds."""


class Suite:
    """Services that write down what they do, under the real supervisor."""

    def __init__(self, names: str, *, policy: RestartPolicy | None = None) -> None:
        self.journal: Journal = []
        self.stop = trio.Event()
        self.policy = policy or RestartPolicy()
        self.board = Board(names.split())
        self.runs: dict[str, Run] = {name: self.service(name) for name in names.split()}
        self.start = trio.current_time()

    def note(self, text: str) -> None:
        self.journal.append((round(trio.current_time() - self.start, 3), text))

    def service(
        self,
        name: str,
        *,
        start: float = 1.0,
        drain: float = 0.5,
        serve: Callable[[trio.Event], Awaitable[object]] = trio.Event.wait,
    ) -> Run:
        """Make a service that starts, serves and drains in so many seconds."""

        async def run(draining: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
            self.note(f"{name} starting")
            try:
                await trio.sleep(start)
                task_status.started()
                self.note(f"{name} ready")
                await serve(draining)
                self.note(f"{name} draining")
                await trio.sleep(drain)
            except trio.Cancelled:
                self.note(f"{name} cancelled")
                raise
            self.note(f"{name} done")

        return run

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await supervise(
            [Child(name, run) for name, run in self.runs.items()],
            policy=self.policy,
            board=self.board,
            stop=self.stop,
            drain_deadline=10,
            task_status=task_status,
        )

    async def run_for(self, seconds: float) -> None:
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.stop_after, seconds)
            try:
                await self.run()
            except (StartError, ServiceFailed) as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def stop_after(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self.stop.set()

    def times(self, text: str) -> list[float]:
        return [time for time, happened in self.journal if happened == text]

    @property
    def states(self) -> list[State]:
        return [health.state for health in self.board.snapshot().values()]


async def crash_after(seconds: float, error: Exception, draining: trio.Event) -> None:
    with trio.move_on_after(seconds):
        await draining.wait()
        return
    raise error


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
