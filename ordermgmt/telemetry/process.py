"""What the process of a service does: its loop, its tasks, its memory; and what was built into it."""

from __future__ import annotations

import os
import platform
import resource
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter as _now
from typing import Self

import trio

from ordermgmt import __version__
from ordermgmt.telemetry.metrics import BOUNDS, Figure

__all__ = ["LoopWatch", "build_figure"]

_OPEN_FILES = Path("/proc/self/fd")
_PAGES = Path("/proc/self/statm")


class LoopWatch(trio.abc.Instrument):
    """Measures how long the tasks of a loop keep everybody else waiting; nothing wakes up for it.

    One turn of the loop runs every task that is ready. What becomes ready meanwhile, such as a timer or a packet, waits
    for its end, so that the length of turns is the lag of the loop. Use it as `with`, inside the loop.
    """

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._total = 0.0
        self._begun = _now()

    def __enter__(self) -> Self:
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *_: object) -> None:
        trio.lowlevel.remove_instrument(self)

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - the signature is Trio's
        """Note that a turn begins."""
        self._begun = _now()

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002
        """Count the turn that ends."""
        seconds = _now() - self._begun
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._total += seconds

    async def figures(self) -> Sequence[Figure]:
        """Return what is known of this process and its loop. A `Meter`."""
        statistics = trio.lowlevel.current_statistics()
        used = resource.getrusage(resource.RUSAGE_SELF)
        return (
            build_figure(),
            Figure(
                "ordermgmt_loop_lag_seconds",
                "histogram",
                "Turns of the loop of the process: how long what became ready had to wait for the tasks before it.",
                self._total,
                counts=tuple(self._counts),
            ),
            Figure("ordermgmt_tasks", "gauge", "Tasks of the process.", statistics.tasks_living, together="sum"),
            Figure(
                "ordermgmt_process_cpu_seconds_total",
                "counter",
                "CPU time of the process.",
                used.ru_utime + used.ru_stime,
            ),
            Figure(
                "ordermgmt_process_resident_memory_bytes",
                "gauge",
                "Memory of the process that is in use.",
                _resident(used.ru_maxrss),
                together="sum",
            ),
            Figure(
                "ordermgmt_process_open_fds",
                "gauge",
                "Open file descriptors of the process.",
                _open_files(),
                together="sum",
            ),
        )


def build_figure() -> Figure:
    """Return which version runs, on what."""
    labels = {"version": __version__, "python": platform.python_version()}
    return Figure("ordermgmt_build_info", "gauge", "1; its labels say which version runs.", 1, labels)


def _resident(peak_kilobytes: int) -> int:
    """Return the bytes in memory now; where the system does not say, the most that there were."""
    try:
        return int(_PAGES.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return peak_kilobytes * 1024


def _open_files() -> int:
    try:
        return sum(1 for _ in _OPEN_FILES.iterdir())
    except OSError:
        return 0
