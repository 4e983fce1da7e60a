"""The lock of a folder of databases: who has one open shares it, who exchanges them all has it alone.

The kernel keeps the lock (flock), so it ends with its holder, however that ends. No pid file can say as much.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ordermgmt.errors import StartError

__all__ = ["OwnedFolder", "own_folder", "use_folder"]

_LOCK = "in-use.lock"
_MAX_MARK = 4096


class OwnedFolder:
    """A folder that nobody else uses. Made by `own_folder`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def mark(self, kept: str) -> None:
        """Have it on disk that the databases are being exchanged, and where the old ones are kept; empty: no longer.

        Nobody can use the folder while it is marked, after a crash either.
        """
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, kept.encode(), 0)
        os.fsync(self._descriptor)


@contextmanager
def use_folder(folder: Path) -> Iterator[None]:
    """Keep the databases in `folder` from being exchanged inside the block. It is made, 0700, if there is none.

    Any number of processes may use it. Raises StartError while a restore is under way, or after one that did not
    finish; OSError.
    """
    with _open_lock(folder) as descriptor:
        if not _try_lock(descriptor, fcntl.LOCK_SH):
            msg = f"a restore is under way in {folder}"
            raise StartError(msg)
        kept = os.pread(descriptor, _MAX_MARK, 0).decode(errors="replace")
        if kept:
            msg = (
                f"a restore did not finish, so that the files in {folder} do not belong together:"
                f" run `ordermgmt restore` again with --force; what was there is in {kept}"
            )
            raise StartError(msg)
        yield


@contextmanager
def own_folder(folder: Path) -> Iterator[OwnedFolder]:
    """Have `folder` alone inside the block. It is made, 0700, if there is none. Raises StartError if it is in use."""
    with _open_lock(folder) as descriptor:
        if not _try_lock(descriptor, fcntl.LOCK_EX):
            msg = f"{folder} is in use: stop the suite, and any other command, first"
            raise StartError(msg)
        yield OwnedFolder(descriptor)


@contextmanager
def _open_lock(folder: Path) -> Iterator[int]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
