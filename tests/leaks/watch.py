"""Looks for secrets in what is logged: each word of a line that could be one is looked up among their digests.

A secret is known from the moment at which it is made, so a line is looked at when it is written, and nothing is kept
but digests of 8 bytes. What looks like a token, a code or a private key is a leak whether it is known or not.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from ordermgmt.telemetry import logs
from tests.leaks.points import FOLDER, KINDS, RECORD, SHORTEST, WORD, digest, tell_of

__all__ = ["WATCH", "Leaks", "apart", "check_child", "install"]

_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)")
_SHAPES = re.compile(r"eyJ[\w-]{12,}\.[\w-]{12,}\.[\w-]{12,}|om[acr]_[\w-]{43}|PRIVATE KEY-----")


class Leaks:
    """The secrets of a run, and the lines that hold one."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Secrets by kind."""
        self.found: list[str] = []
        self.paused = False
        """Whether nothing is learned or looked at, for a test that counts what a request costs."""
        self._kinds: dict[bytes, str] = {}
        self._kinds_of_children: dict[bytes, str] = {}
        self._lengths: set[int] = set()
        self._read: Counter[Path] = Counter()

    def tell(self, kind: str, text: str) -> None:
        """Learn of a secret, which may be a sentence: each of its words that is long enough is one."""
        if self.paused:
            return
        for word in WORD.findall(text):
            self._lengths.add(len(word))
            self._kinds.setdefault(digest(word), kind)
            self.counts[kind] += 1

    def learn(self, folder: Path) -> None:
        """Learn of the secrets of children, from the digests that they wrote."""
        for file in folder.iterdir():
            with file.open("rb") as opened:
                opened.seek(self._read[file])
                content = opened.read()
            content = content[: len(content) // RECORD.size * RECORD.size]
            self._read[file] += len(content)
            for known, number, length in RECORD.iter_unpack(content):
                self._kinds_of_children.setdefault(known, KINDS[number])
                self._lengths.add(length)
                self.counts[KINDS[number]] += 1

    @contextmanager
    def forgetting(self) -> Iterator[None]:
        """Forget in the end what this process made in the block.

        Suites in one process are seeded: what is a password in one is the id of a request in another. Those of children
        are not.
        """
        known = len(self._kinds)
        try:
            yield
        finally:
            for word in list(islice(self._kinds, known, None)):
                del self._kinds[word]

    def look(self, text: str, where: str) -> None:
        """Look at a line, as far as the first secret in it."""
        if self.paused:
            return
        plain = _ESCAPE.sub(" ", text) if "\\" in text else text
        shape = _SHAPES.search(plain)
        if shape is not None:
            self.found.append(f"{where}: what looks like a secret in {plain[: shape.start()][-200:]}<here>")
            return
        for match in WORD.finditer(plain):
            kind = self._kind(match[0])
            if kind is not None:
                self.found.append(f"{where}: {kind} in {plain[: match.start()][-200:]}<here>")
                return

    def take(self) -> list[str]:
        """Return what was found since the last time."""
        found, self.found = self.found, []
        return found

    def _kind(self, word: str) -> str | None:
        kind = self._known(word)
        if kind is None and len(word) > SHORTEST:
            # It may have grown together with what stands before or after it.
            for length in self._lengths:
                if length < len(word):
                    kind = kind or self._known(word[:length]) or self._known(word[-length:])
        return kind

    def _known(self, word: str) -> str | None:
        known = digest(word)
        return self._kinds.get(known) or self._kinds_of_children.get(known)


WATCH = Leaks()
"""That of this process."""


class _Ear(logging.Handler):
    """Hears what libraries log, whether it is written or not."""

    def emit(self, record: logging.LogRecord) -> None:
        WATCH.look(f"{record.getMessage()} {record.exc_text or ''}", record.name)


def install() -> None:
    """Begin to watch: all secrets, and all logs of this process. Once for a process."""
    tell_of(WATCH.tell)
    write = logs._Output.write

    def watched(self: Any, line: str) -> None:
        WATCH.look(line, "log")
        write(self, line)

    for name in ("write", "debug", "info", "warning", "error", "critical"):
        setattr(logs._Output, name, watched)
    logging.getLogger().addHandler(_Ear())


def check_child(text: str, where: str, pids: Collection[int] = ()) -> None:
    """Fail if a child of a test has logged a secret, or if none of the processes `pids` has told of any."""
    if FOLDER not in os.environ:  # a benchmark uses what tests use, and no test runs
        return
    folder = Path(os.environ[FOLDER])
    WATCH.learn(folder)
    assert not pids or any((folder / str(pid)).exists() for pid in pids), f"no secret of {where} is known"
    with apart() as found:
        for line in text.splitlines():
            WATCH.look(line, where)
    assert not found, "\n".join(found)


@contextmanager
def apart() -> Iterator[list[str]]:
    """Keep what is found in the block from failing the run: it was planted there."""
    before, WATCH.found = WATCH.found, []
    try:
        yield WATCH.found
    finally:
        WATCH.found = before
