"""Turns of processes that write the same SQLite file: SQLite lets one of them write, and has no queue for the others.

Whoever finds the file locked can only try again later, and the one that just wrote, and comes back at once, would
nearly always be there first. So who wants to write stands in line, which is `order.line.lock`, until it has the turn,
`order.turn.lock`: who had the turn before has to stand behind it. The line has one place, and those behind it are in no
order; of two processes each has every second turn. Whoever ends a turn rings for the one in line, through the pipe
`order.turn.bell`. The kernel frees the locks of a process that dies. Nothing rests on all this but fairness: SQLite's
own lock is the one that counts.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import trio

from ordermgmt.storage.file_lock import FileLock, open_lock

__all__ = ["LONGEST_WAIT", "Turns", "open_turns"]

LONGEST_WAIT = 0.5
"""Seconds after which one writes without a turn: the process that has it was stopped, or its disk hangs."""
LOOK = 0.001
"""Seconds between two looks of those who wait for the place in line, which is soon free again."""
UNRUNG = 0.01
"""Seconds after which the one in line looks although nobody rang: who had the turn has died."""


class Turns:
    """The turns of one process. `open_turns` makes one, and closes it."""

    def __init__(self, line: FileLock, turn: FileLock, bell: int) -> None:
        self._line = line
        self._turn = turn
        self._bell = bell

    async def take(self) -> None:
        """Wait for a turn, `LONGEST_WAIT` at most. Without another process this waits for nothing.

        Cancelled, it has none.
        """
        if self._line.try_own() and self._turn.try_own():
            self._line.release()
            return
        deadline = trio.current_time() + LONGEST_WAIT
        try:
            while not self._line.try_own():
                if trio.current_time() >= deadline:
                    return
                await trio.sleep(LOOK)
            while not self._turn.try_own() and trio.current_time() < deadline:
                await self._hear()
        finally:
            self._line.release()

    def give(self) -> None:
        """End the turn."""
        self._turn.release()
        if self._line.try_own():
            self._line.release()
        else:
            self._ring()

    async def _hear(self) -> None:
        with trio.move_on_after(UNRUNG):
            await trio.lowlevel.wait_readable(self._bell)
        with suppress(BlockingIOError):
            os.read(self._bell, select.PIPE_BUF)

    def _ring(self) -> None:
        with suppress(BlockingIOError):  # it is full of rings
            os.write(self._bell, b"\n")


@contextmanager
def open_turns(database: Path) -> Iterator[Turns]:
    """Open the locks and the pipe beside a database. Raises OSError."""
    with ExitStack() as stack:
        line = stack.enter_context(open_lock(database.with_suffix(".line.lock")))
        turn = stack.enter_context(open_lock(database.with_suffix(".turn.lock")))
        bell = _open_pipe(database.with_suffix(".turn.bell"))
        stack.callback(os.close, bell)
        yield Turns(line, turn, bell)


def _open_pipe(path: Path) -> int:
    with suppress(FileExistsError):
        os.mkfifo(path, 0o600)
    # To read and to write: it is never at its end, whoever else has it open.
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)
