"""Worker threads, as a seam: whoever blocks takes `Threads` instead of calling Trio's threads itself.

Trio's MockClock counts a task that waits for a thread as idle and jumps over it, so under virtual time
blocking work runs inline.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

import trio

__all__ = ["InlineThreads", "Threads", "WorkerThreads", "start_daemon"]

T = TypeVar("T")


class Threads(Protocol):
    """Runs blocking functions."""

    async def run(self, fn: Callable[[], T], *, limiter: trio.CapacityLimiter | None = None) -> T:
        """Call `fn()` and return what it returns.

        A cancellation that arrives while `fn` runs does not interrupt it: its result is returned and the
        cancellation is delivered at the next checkpoint. So one call is atomic under cancellation.
        """
        ...


class WorkerThreads:
    """Blocking work in Trio's worker threads; each user bounds its own share with a limiter."""

    async def run(self, fn: Callable[[], T], *, limiter: trio.CapacityLimiter | None = None) -> T:
        """Call `fn()` in a worker thread. See `Threads.run`."""
        return await trio.to_thread.run_sync(fn, limiter=limiter)


class InlineThreads:
    """Blocking work in the caller's own task: for virtual time only."""

    async def run(self, fn: Callable[[], T], *, limiter: trio.CapacityLimiter | None = None) -> T:
        """Call `fn()` here, after one checkpoint. See `Threads.run`."""
        if limiter is None:
            await trio.lowlevel.checkpoint()
            return fn()
        async with limiter:
            return fn()


def start_daemon(fn: Callable[[], None], name: str) -> None:
    """Call `fn()` in a thread that ends with the process and that nobody waits for: a watch over the loop itself."""
    threading.Thread(target=fn, name=name, daemon=True).start()
