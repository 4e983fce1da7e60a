"""The generated files: written as a whole, and never over what somebody changed.

The first line of each has a checksum of the rest, so that a change by hand shows, without anything kept beside them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from ordermgmt.errors import StartError

__all__ = ["as_yaml", "write"]

_HEAD = re.compile(rb"# Made by ordermgmt deploy; sha256:([0-9a-f]{64})\n")


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such, and nothing by reference."""

    def ignore_aliases(self, _: object) -> bool:
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def as_yaml(documents: Iterable[object]) -> str:
    """Return documents as one YAML file."""
    text: str = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def write(folder: Path, files: Mapping[str, str], *, force: bool) -> list[str]:
    """Write `files`, by path in `folder`, which is made; return the paths of those that are new or other than before.

    Raises StartError, before anything is written, naming files that were not made like this or were changed since,
    unless it is to be done by `force`.
    """
    contents = {name: _sealed(text.encode()) for name, text in files.items()}
    try:
        before = {name: _read(folder / name) for name in files}
        changed = [name for name, content in before.items() if content is not None and content != contents[name]]
        by_hand = [name for name in changed if not _is_as_made(before[name] or b"")]
        if by_hand and not force:
            msg = f"changed by hand: {', '.join(str(folder / name) for name in by_hand)}; --force overwrites them"
            raise StartError(msg)
        written = [name for name in files if before[name] != contents[name]]
        for name in written:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents[name])
    except OSError as error:
        msg = f"cannot write {error.filename or folder}: {error.strerror}"
        raise StartError(msg) from error
    return written


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _sealed(content: bytes) -> bytes:
    return b"# Made by ordermgmt deploy; sha256:%b\n%b" % (hashlib.sha256(content).hexdigest().encode(), content)


def _is_as_made(content: bytes) -> bool:
    head = _HEAD.match(content)
    return head is not None and content == _sealed(content[head.end() :])
