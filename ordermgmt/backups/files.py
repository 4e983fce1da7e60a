"""Copying plain files, and having files and folders on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["copy_file", "digest", "sync", "write_file"]

_CHUNK = 1 << 20


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_file(source: Path, target: Path, progress: Callable[[int, int], None]) -> str:
    """Copy a file to a new one, 0600 and on disk, and return the SHA-256 of what was read. Raises OSError."""
    read, found = 0, hashlib.sha256()
    with source.open("rb") as file, os.fdopen(_create(target), "wb") as copy:
        total = os.fstat(file.fileno()).st_size
        while chunk := file.read(_CHUNK):
            copy.write(chunk)
            found.update(chunk)
            read += len(chunk)
            progress(read, max(total, read))
        copy.flush()
        os.fsync(copy.fileno())
    return found.hexdigest()


def write_file(path: Path, content: bytes) -> None:
    """Write a new file, 0600 and on disk. Raises OSError."""
    with os.fdopen(_create(path), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
