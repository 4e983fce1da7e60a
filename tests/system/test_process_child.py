"""The supervisor's side of a child process: every way in which a program can start, go on and end."""

from __future__ import annotations

import os
import signal
import socket

import pytest
import trio

from ordermgmt.errors import StartError
from ordermgmt.supervision.child import ServiceFailed
from ordermgmt.supervision.health import State
from ordermgmt.supervision.policy import RestartPolicy
from tests.log_lines import select
from tests.system.processes import PATIENCE, is_running
from tests.system.stand_ins import StandIns


async def test_ready_in_order_drained_in_reverse_and_nothing_left() -> None:
    suite = StandIns(first="obeys", second="obeys")
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await nursery.start(suite.run)
            pids = list(suite.pids.values())
            assert [health.state for health in suite.board.snapshot().values()] == [State.RUNNING] * 2
            assert all(pid is not None and is_running(pid) for pid in pids)
            suite.stop.set()
            await suite.until("second", State.STOPPED)
            assert suite.board.snapshot()["first"].state in {State.RUNNING, State.DRAINING}
    assert set(suite.pids.values()) == {None}
    assert not any(is_running(pid) for pid in pids if pid is not None)


async def test_one_that_is_killed_is_another_process_and_the_rest_are_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    suite = StandIns(first="obeys", second="obeys", third="obeys")
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await nursery.start(suite.run)
            before = suite.pids
            assert before["second"] is not None
            os.kill(before["second"], signal.SIGKILL)
            assert await suite.until("second", State.RUNNING, restarts=1) not in {None, before["second"]}
            assert suite.pids == before | {"second": suite.pids["second"]}
            error = suite.board.snapshot()["second"].error
            suite.stop.set()
    assert error == f"its process {before['second']} was ended by SIGKILL"
    # this side has nothing to add to it
    (line,) = select(capsys.readouterr().err, "crashed")
    assert (line["level"], line["service"], line["reason"]) == ("error", "second", error)
    assert "exception" not in line


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("refuses", "no such database"),
        ("exits", r"its process \d+ ended with status 3 before it was ready"),
        ("babbles", "a line on the control channel is no message: .+"),
        ("floods", "a line on the control channel is too long"),
    ],
)
async def test_a_first_start_that_fails_is_told_once_and_ends_all(manner: str, reason: str) -> None:
    suite = StandIns(first="obeys", second=manner, third="obeys")
    with trio.fail_after(PATIENCE), pytest.raises(StartError, match=f"^second cannot start: {reason}$"):
        await suite.run()
    states = [health.state for health in suite.board.snapshot().values()]
    assert states == [State.STOPPED, State.FAILED, State.WAITING]
    assert [health.restarts for health in suite.board.snapshot().values()] == [0, 0, 0]
    assert set(suite.pids.values()) == {None}


async def test_a_program_that_is_not_there_is_a_failed_start() -> None:
    suite = StandIns(first="obeys")
    program = suite.children["first"]._program
    object.__setattr__(program, "arguments", ["/nowhere/python"])
    with pytest.raises(StartError, match=r"^first cannot start: cannot start a process: No such file or directory$"):
        await suite.run()


@pytest.mark.parametrize("manner", ["crashes", "repeats"])
async def test_one_that_keeps_crashing_ends_all(manner: str) -> None:
    suite = StandIns(RestartPolicy(first_delay=0.01, max_restarts=2), first="obeys", second=manner)
    reason = r"its process \d+ was ended by SIGKILL" if manner == "crashes" else "said twice that it is ready"
    with (
        trio.fail_after(PATIENCE),
        pytest.raises(ServiceFailed, match=f"^second failed 3 times in 60 s, last: {reason}$"),
    ):
        await suite.run()
    assert set(suite.pids.values()) == {None}


async def test_one_that_hangs_while_draining_is_killed_at_the_deadline() -> None:
    suite = StandIns(drain=0.2, first="obeys", second="hangs")
    stuck: list[int | None] = []
    with (
        trio.fail_after(PATIENCE),
        pytest.raises(ServiceFailed, match=r"^second did not drain in time and was cut off$"),
    ):
        await run_and_stop(suite, stuck)
    assert stuck[0] is not None
    assert not is_running(stuck[0])


async def run_and_stop(suite: StandIns, pids: list[int | None]) -> None:
    async def stop() -> None:
        pids.append(await suite.until("second", State.RUNNING))
        suite.stop.set()

    failure: ServiceFailed | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop)
        try:
            await suite.run()
        except ServiceFailed as error:
            failure = error
    if failure is not None:
        raise failure


async def test_one_that_trips_while_draining_is_a_failure() -> None:
    with trio.fail_after(PATIENCE), pytest.raises(ServiceFailed, match=r"second failed while draining: .* status 4$"):
        await run_and_stop(StandIns(first="obeys", second="trips"), [])


async def test_a_cancellation_kills_at_once_also_what_is_not_ready() -> None:
    suite = StandIns(first="hangs", second="opens")
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(suite.run)
            seen = suite.board.snapshot()
            while seen["second"].pid is None:
                seen = await suite.board.newer(seen)
            pids = [health.pid for health in seen.values() if health.pid is not None]
            nursery.cancel_scope.cancel()
    assert len(pids) == 2
    assert not any(map(is_running, pids))
    assert set(suite.pids.values()) == {None}


async def test_it_is_asked_whether_it_can_do_its_work() -> None:
    suite = StandIns(first="obeys", second="sick", third="dies")
    first, second, third = suite.children.values()
    assert await first.unready_reason() == "it has no process"
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await nursery.start(suite.run)
            assert await first.unready_reason() is None
            answers: list[str | None] = []

            async def ask() -> None:
                answers.append(await second.unready_reason())

            async with trio.open_nursery() as asking:
                for _ in range(20):
                    asking.start_soon(ask)
            assert answers == ["no keys"] * 20
            assert await third.unready_reason() == "its process ended"
            suite.stop.set()


async def test_a_question_given_up_leaves_room_for_the_next() -> None:
    suite = StandIns(first="obeys")
    child = suite.children["first"]
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await nursery.start(suite.run)
            for _ in range(50):
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await child.unready_reason()
            assert await child.unready_reason() is None
            suite.stop.set()


async def test_it_inherits_what_it_is_given_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    suite = StandIns(first="lists")
    with socket.socket() as ours, socket.socket() as meant_for_it:
        os.set_inheritable(ours.fileno(), True)
        suite.children["first"] = suite._child("first", "lists", [given := meant_for_it.fileno()])
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                await nursery.start(suite.run)
                pid = suite.pids["first"]
                assert pid is not None
                # a signal to the supervisor's group, as a terminal sends it, is none to the child
                assert os.getsid(pid) == os.getpgid(pid) == pid
                suite.stop.set()
    (line,) = select(capsys.readouterr().err, "serving")
    said = line["addresses"].split(",")
    assert said[0] == "do it"
    # standard streams, the one that it was given, the control channel, and the listing itself
    listed = {int(text) for text in said[1:]}
    assert {0, 1, 2, given} <= listed
    assert len(listed) == 5
