"""Processes that write one file have it in turns. Each `Turns` stands for one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from ordermgmt.storage import Transaction, open_database
from ordermgmt.storage.turns import LONGEST_WAIT, UNRUNG, Turns, open_turns
from ordermgmt.testing.clocks import VirtualClock
from ordermgmt.threads import InlineThreads

WRITES = 0.01
"""Seconds of one turn here."""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[list[Turns]]:
    with ExitStack() as stack:
        yield [stack.enter_context(open_turns(tmp_path / "order.sqlite")) for _ in range(3)]


async def write(name: str, turns: Turns, times: int, order: list[str]) -> None:
    """Write without a pause between two turns."""
    for _ in range(times):
        await turns.take()
        order.append(name)
        await trio.sleep(WRITES)
        turns.give()
    order.append(f"{name} is done")


async def test_of_two_that_always_want_to_write_each_has_every_second_turn(
    processes: list[Turns], autojump_clock: MockClock
) -> None:
    order: list[str] = []
    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        for name, turns in zip("ab", processes, strict=False):
            nursery.start_soon(write, name, turns, 20, order)
    turns_had = [name for name in order if len(name) == 1]
    assert [one for one, next_one in pairwise(turns_had) if one == next_one] == []
    # Whoever is in line is told at once that a turn is over.
    assert trio.current_time() - begin == pytest.approx(40 * WRITES, abs=WRITES)


async def test_a_lone_one_waits_for_nothing(processes: list[Turns], autojump_clock: MockClock) -> None:
    begin = trio.current_time()
    await write("a", processes[0], 5, [])
    assert trio.current_time() - begin == pytest.approx(5 * WRITES)


async def test_one_that_never_gives_its_turn_back_is_not_waited_for_for_ever(
    processes: list[Turns], autojump_clock: MockClock
) -> None:
    await processes[0].take()
    begin = trio.current_time()
    await processes[1].take()
    assert trio.current_time() - begin == pytest.approx(LONGEST_WAIT, abs=0.01)
    processes[1].give()
    processes[0].give()
    begin = trio.current_time()
    await processes[2].take()
    assert trio.current_time() == begin


async def test_one_that_is_cancelled_leaves_the_line(processes: list[Turns], autojump_clock: MockClock) -> None:
    await processes[0].take()
    with trio.move_on_after(0.1) as scope:
        await processes[1].take()
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(processes[2].take)
        await trio.sleep(0.05)
        processes[0].give()
        begin = trio.current_time()
    assert trio.current_time() - begin < 0.01


def test_what_ended_has_no_turn(tmp_path: Path) -> None:
    async def main() -> None:
        with open_turns(tmp_path / "order.sqlite") as other, trio.fail_after(LONGEST_WAIT / 2):
            with open_turns(tmp_path / "order.sqlite") as ended:
                await ended.take()
            await other.take()

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_a_bell_that_nobody_hears_stops_nobody(processes: list[Turns], autojump_clock: MockClock) -> None:
    one, other, third = processes
    await other.take()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(third.take)  # in line all the while
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(70_000):  # more than the pipe holds
            one.give()
        other.give()
        begin = trio.current_time()
    assert trio.current_time() - begin < UNRUNG


async def test_what_comes_while_a_group_waits_for_its_turn_joins_it(tmp_path: Path, autojump_clock: MockClock) -> None:
    path, migrations = tmp_path / "notes.sqlite", files("tests.unit.notes")

    def count(transaction: Transaction) -> int:
        return int(transaction.execute("SELECT COUNT(*) FROM note").rows[0][0])

    async with open_database(path, migrations, threads=InlineThreads(), clock=VirtualClock(), shared=True) as database:
        commits, transactions = database.commits, database.transactions
        with open_turns(path) as other:
            await other.take()
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(database.write, count)
                    await trio.sleep(0.01)
                assert (database.commits, database.transactions) == (commits, transactions)
                other.give()
        assert (database.commits, database.transactions) == (commits + 1, transactions + 5)
