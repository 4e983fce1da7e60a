"""When to try again: what an engine's error means, and how long to put up with what passes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import TypeVar

import trio

from ordermgmt.errors import Unavailable

__all__ = ["FIRST_PAUSE", "LONGEST_PAUSE", "PATIENCE", "Failure", "Judge", "one_line", "patiently", "unavailable"]

T = TypeVar("T")

PATIENCE = 2.0
"""Seconds to try again while something that passes is in the way: a lock, a deadlock, a lost connection."""
FIRST_PAUSE = 0.001
LONGEST_PAUSE = 0.05


class Failure(Enum):
    """What an engine's error means for a transaction of which nothing was committed."""

    PASSING = auto()
    """Trying again soon may do."""
    LASTING = auto()
    """Somebody has to do something first."""


Judge = Callable[[BaseException], Failure | None]
"""Tells what an error means. None: it is not the engine's, or it is the statement's own fault."""


async def patiently(attempt: Callable[[], Awaitable[T]], judge: Judge) -> T:
    """Return what `attempt` returns, tried again while it fails with what passes. Raises Unavailable."""
    deadline = trio.current_time() + PATIENCE
    pause = FIRST_PAUSE
    while True:
        try:
            return await attempt()
        except Exception as error:
            failure = judge(error)
            if failure is None:
                raise
            if failure is Failure.LASTING or trio.current_time() >= deadline:
                raise unavailable(error) from error
        await trio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def unavailable(cause: BaseException | None) -> Unavailable:
    """Return what the caller gets for an engine's error after which surely nothing was changed."""
    error = Unavailable("storage-unavailable", "the database cannot be used now", retry_after=1)
    error.__cause__ = cause
    return error


def one_line(cause: BaseException | None) -> str:
    """Return what an engine says of a failure, without the context that PostgreSQL gives on further lines."""
    return str(cause).strip().partition("\n")[0] or type(cause).__name__
