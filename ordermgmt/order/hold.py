"""A hold over the requests to inventory of all order services on one data folder, from whichever process.

While no request is under way, the databases of orders and stock agree but for changes that the journal knows, so a
hold is the moment for a backup. Two files are locked, as one would let those who come and go keep waiting
whoever wants to be alone: a request shares `hops.lock`, and passes the gate `hold.lock` on its way there; a hold first
shuts the gate, then waits until nobody is left behind it. A process that dies frees its locks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from ordermgmt.errors import StartError
from ordermgmt.storage.file_lock import FileLock, open_lock
from ordermgmt.telemetry.logs import get_logger

__all__ = ["LONGEST_HOLD", "Hold", "Hops", "open_hops"]

LONGEST_HOLD = 1.0
"""Seconds that a hold lasts at most. A request that has waited so long goes on: a holder that was stopped stops nobody
else. Everybody has this same figure, so a holder that finds it passed knows that its hold was worth nothing."""
_LOOK = 0.001
"""Seconds between two looks at a lock; only while there is a hold."""


@dataclass(slots=True)
class Hold:
    """`seconds` tells, when it is over, how long no request could start."""

    seconds: float = 0.0


class Hops:
    """The locks of one user. `open_hops` makes one, and closes it."""

    def __init__(self, gate: FileLock, hops: FileLock) -> None:
        self._gate = gate
        self._hops = hops

    @asynccontextmanager
    async def hop(self) -> AsyncIterator[None]:
        """Enter when no hold is on, at the latest after LONGEST_HOLD; no other hold begins inside the block."""
        deadline = trio.current_time() + LONGEST_HOLD
        while not self._pass_gate():
            if trio.current_time() >= deadline:
                get_logger("order").warning("hold-overrun", seconds=LONGEST_HOLD)
                break
            await trio.sleep(_LOOK)
        try:
            yield
        finally:
            self._hops.release()

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[Hold]:
        """Enter when no request is under way; none starts inside the block.

        Raises StartError if one takes too long, or the block does: what was done in it is then worth nothing.
        """
        await _own_within(2 * LONGEST_HOLD, self._gate, "another backup is under way")
        held, begin = Hold(), trio.current_time()
        late = f"the orders would have to be held for more than {LONGEST_HOLD:g} s; try again"
        try:
            await _own_within(LONGEST_HOLD, self._hops, late)
            yield held
            held.seconds = trio.current_time() - begin
            if held.seconds >= LONGEST_HOLD:
                raise StartError(late)
        finally:
            self._hops.release()
            self._gate.release()

    def _pass_gate(self) -> bool:
        if not self._gate.try_share():
            return False
        passed = self._hops.try_share()
        self._gate.release()
        return passed


@contextmanager
def open_hops(folder: Path) -> Iterator[Hops]:
    """Open the locks in a data folder. Raises StartError."""
    with ExitStack() as stack:
        try:
            locks = [stack.enter_context(open_lock(folder / name)) for name in ("hold.lock", "hops.lock")]
        except OSError as error:
            msg = f"cannot use the locks in {folder}: {error.strerror}"
            raise StartError(msg) from error
        yield Hops(*locks)


async def _own_within(seconds: float, lock: FileLock, failure: str) -> None:
    deadline = trio.current_time() + seconds
    while not lock.try_own():
        if trio.current_time() >= deadline:
            raise StartError(failure)
        await trio.sleep(_LOOK)
