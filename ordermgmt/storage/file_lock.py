"""Advisory locks on files (flock). The kernel keeps them, so they end with their holder, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["FileLock", "open_lock"]


class FileLock:
    """A lock that many share or one has alone: each `FileLock` counts as one holder. `open_lock` makes one.

    Nothing waits, and nobody stands in line: those who keep coming to share it can keep out who wants it alone.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def try_share(self) -> bool:
        """Take it together with others; False if somebody has it alone."""
        return self._try(fcntl.LOCK_SH)

    def try_own(self) -> bool:
        """Take it alone; False if anybody else has it."""
        return self._try(fcntl.LOCK_EX)

    def release(self) -> None:
        """Give it back, if it was taken."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self.descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def open_lock(path: Path) -> Iterator[FileLock]:
    """Open a file, made 0600 if there is none, and close it in the end, which frees the lock. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield FileLock(descriptor)
    finally:
        os.close(descriptor)
