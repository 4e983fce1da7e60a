from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from ordermgmt.supervision.health import Board, Health, State, unready_reason


async def test_every_service_waits_at_first_in_the_given_order() -> None:
    board = Board(["sts", "order"])
    assert list(board.snapshot()) == ["sts", "order"]
    assert {health.state for health in board.snapshot().values()} == {State.WAITING}


async def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice: sts, sts"):
        Board(["sts", "sts"])


async def test_snapshot_stays_as_it_was(autojump_clock: MockClock) -> None:
    board = Board(["sts"])
    before = board.snapshot()
    await trio.sleep(3)
    board.record("sts", State.BACKING_OFF, error="ValueError: x")
    assert before["sts"].state is State.WAITING
    assert board.snapshot()["sts"] == Health(
        State.BACKING_OFF, autojump_clock.current_time(), 0, "ValueError: x", service="sts"
    )


async def test_last_error_and_restarts_outlive_the_restart() -> None:
    board = Board(["sts"])
    board.record("sts", State.BACKING_OFF, error="ValueError: x")
    board.record("sts", State.STARTING, restarted=True)
    board.record("sts", State.RUNNING)
    health = board.snapshot()["sts"]
    assert (health.state, health.restarts, health.error) == (State.RUNNING, 1, "ValueError: x")


async def test_a_change_wakes_everybody_who_waits_for_one(autojump_clock: MockClock) -> None:
    board = Board(["sts"])
    seen = board.snapshot()
    woken: list[float] = []

    async def wait() -> None:
        newer = await board.newer(seen)
        assert newer["sts"].state is State.RUNNING
        woken.append(trio.current_time() - start)

    start = autojump_clock.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await trio.sleep(2)
        board.record("sts", State.RUNNING)
    assert woken == pytest.approx([2, 2])


async def test_a_change_between_reading_and_waiting_is_not_missed() -> None:
    board = Board(["sts"])
    seen = board.snapshot()
    board.record("sts", State.STARTING)
    assert (await board.newer(seen))["sts"].state is State.STARTING


async def test_ready_is_running_with_a_check_that_passes() -> None:
    async def fine() -> None:
        await trio.lowlevel.checkpoint()

    async def broken() -> str:
        await trio.lowlevel.checkpoint()
        return "no keys yet"

    running = Health(State.RUNNING, 0.0, 3, "an old error")
    assert await unready_reason(running, None) is None
    assert await unready_reason(running, fine) is None
    assert await unready_reason(running, broken) == "no keys yet"


@pytest.mark.parametrize("state", [state for state in State if state is not State.RUNNING])
async def test_a_service_that_does_not_run_is_not_ready_and_not_asked(state: State) -> None:
    async def never() -> str | None:
        await trio.lowlevel.checkpoint()
        pytest.fail("asked")

    assert await unready_reason(Health(state, 0.0), never) == state.value
    assert await unready_reason(Health(state, 0.0, 1, "OSError: gone"), never) == f"{state.value}: OSError: gone"


async def test_a_process_comes_and_goes_and_whoever_waits_sees_it() -> None:
    board = Board(["sts", "order"], pid=1)
    seen = board.snapshot()
    board.record_process("order", 2)
    assert [health.pid for health in (await board.newer(seen)).values()] == [1, 2]
    board.record("order", State.RUNNING)
    assert board.snapshot()["order"].pid == 2
    board.record_process("order", None)
    assert board.snapshot()["order"].pid is None
    with pytest.raises(KeyError):
        board.record_process("shop", 3)
