"""How many histories a test tries: a fixed few every time, or as many others as --depth asks for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, seed, settings

F = TypeVar("F", bound=Callable[..., Any])


def sized(config: pytest.Config, *, examples: int) -> Callable[[F], F]:
    """Return a decorator: so many examples, the same in every run; with --depth N that many times as many, by chance.

    What fails by chance is printed with a line that repeats it.
    """
    depth: int = config.getoption("--depth")
    size = settings(
        max_examples=examples * depth,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    return lambda test: size(seed(1)(test) if depth == 1 else test)


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """Make a folder that costs no disk where there is one: no history here ends with the power."""
    memory = "/dev/shm"  # noqa: S108 - the folder in it is ours alone
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)
