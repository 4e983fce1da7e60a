"""Worker threads, as a seam: whoever blocks takes `Threads` instead of calling Trio's threads itself.

Trio's MockClock counts a task that waits for a thread as idle and jumps over it, so under virtual time
blocking work runs inline.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Protocol, TypeVar

import trio
from outcome import Outcome, Value

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
    """Blocking work in Trio's worker threads; each user bounds its own share with a limiter.

    It does what `trio.to_thread.run_sync` does, without what is for calls back into Trio, names of threads, and a turn
    of the scheduler for a limiter that has room: with those, the way to a thread and back costs as much as a COMMIT.
    """

    async def run(self, fn: Callable[[], T], *, limiter: trio.CapacityLimiter | None = None) -> T:
        """Call `fn()` in a worker thread. See `Threads.run`."""
        limiter = limiter or trio.to_thread.current_default_thread_limiter()
        await trio.lowlevel.checkpoint_if_cancelled()
        borrower = object()
        try:
            limiter.acquire_on_behalf_of_nowait(borrower)
        except trio.WouldBlock:
            await limiter.acquire_on_behalf_of(borrower)
        try:
            return (await _in_thread(fn)).unwrap()
        finally:
            limiter.release_on_behalf_of(borrower)


async def _in_thread(fn: Callable[[], T]) -> Outcome[T]:
    task, token = trio.lowlevel.current_task(), trio.lowlevel.current_trio_token()

    def deliver(result: Outcome[T]) -> None:
        token.run_sync_soon(trio.lowlevel.reschedule, task, Value(result))

    trio.lowlevel.start_thread_soon(partial(copy_context().run, fn), deliver)
    result: Outcome[T] = await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
    return result


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
    """Call `fn()` in a thread that ends with the process at the latest."""
    threading.Thread(target=fn, name=name, daemon=True).start()
