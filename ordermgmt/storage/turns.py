"""Turns of processes that write the same SQLite file: SQLite lets one of them write, and has no queue for the others.

Whoever finds the file locked can only try again later, and the one that just wrote, and comes back at once, would
nearly always be there first. So who wants to write stands in line, which is `order.line.lock`, until it has the turn,
`order.turn.lock`: who had the turn before has to stand behind it. The line has one place, and those behind it are in no
order; of two processes each has every second turn. The kernel frees the locks of a process that dies. Nothing rests on
them but fairness: SQLite's own lock is the one that counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trio

from ordermgmt.storage.file_lock import FileLock, open_lock

__all__ = ["LONGEST_WAIT", "Turns", "open_turns"]

LONGEST_WAIT = 0.5
"""Seconds after which one writes without a turn: the process that has it was stopped, or its disk hangs."""
LOOK = 0.0005
"""Seconds between two looks at a lock that another process has. Trio makes a millisecond of it."""


class Turns:
    """The turns of one process. `open_turns` makes one, and closes it."""

    def __init__(self, line: FileLock, turn: FileLock) -> None:
        self._line = line
        self._turn = turn

    async def take(self) -> None:
        """Wait for a turn, `LONGEST_WAIT` at most. Without another process this waits for nothing.

        Cancelled, it has none.
        """
        if self._line.try_own() and self._turn.try_own():
            self._line.release()
            return
        deadline = trio.current_time() + LONGEST_WAIT
        try:
            if await _owns(self._line, deadline):
                await _owns(self._turn, deadline)
        finally:
            self._line.release()

    def give(self) -> None:
        """End the turn."""
        self._turn.release()


@contextmanager
def open_turns(database: Path) -> Iterator[Turns]:
    """Open the locks beside a database. Raises OSError."""
    with ExitStack() as stack:
        locks = [
            stack.enter_context(open_lock(database.with_suffix(suffix))) for suffix in (".line.lock", ".turn.lock")
        ]
        yield Turns(*locks)


async def _owns(lock: FileLock, deadline: float) -> bool:
    while not lock.try_own():
        if trio.current_time() >= deadline:
            return False
        await trio.sleep(LOOK)
    return True
