"""The lock of a folder of databases: who has one open shares it, who exchanges them all has it alone.

It ends with its holder, however that ends: no pid file can say as much.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from ordermgmt.errors import StartError
from ordermgmt.storage.file_lock import FileLock, open_lock

__all__ = ["OwnedFolder", "own_folder", "use_folder"]

_LOCK = "in-use.lock"
_MAX_MARK = 4096


class OwnedFolder:
    """A folder that nobody else uses. Made by `own_folder`."""

    def __init__(self, lock: FileLock) -> None:
        self._descriptor = lock.descriptor

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
    with _open(folder) as lock:
        if not lock.try_share():
            msg = f"a restore is under way in {folder}"
            raise StartError(msg)
        kept = os.pread(lock.descriptor, _MAX_MARK, 0).decode(errors="replace")
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
    with _open(folder) as lock:
        if not lock.try_own():
            msg = f"{folder} is in use: stop the suite, and any other command, first"
            raise StartError(msg)
        yield OwnedFolder(lock)


def _open(folder: Path) -> AbstractContextManager[FileLock]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return open_lock(folder / _LOCK)
