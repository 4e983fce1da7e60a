"""How far long work is: a bar in a terminal, a line for each finished step in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

__all__ = ["Show", "show_progress"]

Show = Callable[[str, int, int], None]
"""Is told of a step by its name what is done, and of how much: both in bytes. Any thread may call it."""


@contextmanager
def show_progress(stream: TextIO) -> Iterator[Show]:
    """Show steps on `stream` inside the block, in the order in which they are first told of."""
    if not stream.isatty():
        yield _lines(stream)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    with Progress(*columns, console=Console(file=stream)) as progress:
        tasks: dict[str, TaskID] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=total)
            progress.update(tasks[step], completed=done, total=total)

        yield show


def _lines(stream: TextIO) -> Show:
    def show(step: str, done: int, total: int) -> None:
        if done >= total:
            stream.write(f"{step}: {total} bytes\n")
            stream.flush()

    return show
