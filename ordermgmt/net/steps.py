"""How long the steps of one request took, gathered on the way and told in a Server-Timing header (W3C Server Timing).

Whoever answers begins with `gather`; whatever runs for it, also in tasks that it starts, adds steps with `step`. A step
is a span of the trace, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import trio

from ordermgmt.telemetry.trace import child

__all__ = ["HEADER", "MAX_STEPS", "Step", "gather", "parse_steps", "render_steps", "step"]

HEADER = "server-timing"
MAX_STEPS = 16
"""Steps of one request: what more there is of them, goes untold."""

_METRIC = re.compile(r"([a-z-]{1,32});dur=(\d{1,9}(?:\.\d{1,6})?)", re.ASCII)


class Step(NamedTuple):
    """A step and how long it took, in seconds."""

    name: str
    seconds: float


_gathered: ContextVar[list[Step] | None] = ContextVar("_gathered", default=None)


def gather() -> list[Step]:
    """Start with no steps, and return the list that they will be in: of this task and of those that it starts."""
    steps: list[Step] = []
    _gathered.set(steps)
    return steps


@contextmanager
def step(name: str) -> Iterator[None]:
    """Add a step, also one that fails, for whoever gathers; nothing if nobody does."""
    steps = _gathered.get()
    if steps is None:
        with child(name):
            yield
        return
    begun = trio.current_time()
    try:
        with child(name):
            yield
    finally:
        if len(steps) < MAX_STEPS:
            steps.append(Step(name, trio.current_time() - begun))


def render_steps(steps: Iterable[Step]) -> str:
    """Render steps as the header's value: durations in milliseconds."""
    return ", ".join(f"{name};dur={1000 * seconds:.3f}" for name, seconds in steps)


def parse_steps(text: str) -> list[Step]:
    """Read what `render_steps` rendered; what is not of its form is left out."""
    found = (_METRIC.fullmatch(part.strip()) for part in text.split(",", MAX_STEPS)[:MAX_STEPS])
    return [Step(match[1], float(match[2]) / 1000) for match in found if match]
