"""Signals of the operating system, turned into a drain, a cancellation or a reload."""

from __future__ import annotations

import signal
from collections.abc import Callable

import trio

__all__ = ["watch"]

ENDING = (signal.SIGTERM, signal.SIGINT)


async def watch(
    stop: trio.Event,
    cancel_scope: trio.CancelScope,
    on_reload: Callable[[], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Watch for signals; runs in the main thread, until it is cancelled or a second signal asks for the end.

    The first SIGTERM or SIGINT sets `stop`; the second cancels `cancel_scope`, and gives both signals back to the
    operating system, so that a third one ends even a process that hangs in its clean-up. While this runs no
    KeyboardInterrupt is raised anywhere. SIGHUP calls `on_reload`, which must neither block nor raise.
    """
    with trio.open_signal_receiver(*ENDING, signal.SIGHUP) as received:
        task_status.started()
        asked = False
        async for number in received:
            if number == signal.SIGHUP:
                on_reload()
            elif asked:
                break
            else:
                asked = True
                stop.set()
    # the receiver swallows signals: nobody but us can end the process on the second one
    cancel_scope.cancel()
    for ending in ENDING:
        signal.signal(ending, signal.SIG_DFL)
