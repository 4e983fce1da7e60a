"""Weakens the verifier and the guard, one line at a time, in memory, and sees every weakening caught.

    python -m tests.mutation.run [NAME ...] [--every N]

Each of weakenings.toml is what a slip could make of a check. A table that still passes with one of them applied
proves nothing about that check. Exit code 1 names those; nothing in the checkout is touched.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation import proof

__all__ = ["ROOM", "ROOT", "Weakening", "load", "main"]

ROOT = Path(__file__).parents[2]
ROOM = Path("ordermgmt/security")
AT_ONCE = 2
FAILED = re.compile(r"^(?:SUB)?FAILED ?(.+?)(?: - .*)?$", re.MULTILINE)
PASSED, FOUND_FAILURES = 0, 1
"""Exit codes of pytest; any other means that it could not run the proof."""


@dataclass(frozen=True, slots=True)
class Weakening:
    """One line of one file that could be less strict."""

    name: str
    file: str
    old: str
    new: str

    @property
    def module(self) -> str:
        """What the file is imported as."""
        return ".".join((ROOM / self.file).with_suffix("").parts)

    def source(self, root: Path = ROOT) -> str:
        """Return the file below `root` with that line. Raises ValueError if it does not hold `old` exactly once."""
        strict = (root / ROOM / self.file).read_text(encoding="utf-8")
        found = strict.count(self.old)
        if found != 1:
            msg = f"{self.name}: {ROOM / self.file} holds its old line {found} times: {self.old!r}"
            raise ValueError(msg)
        weakened = strict.replace(self.old, self.new)
        compile(weakened, self.file, "exec")
        return weakened


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the proof said."""

    weakening: Weakening
    code: int
    """pytest's exit code."""
    output: str
    seconds: float
    """Of a core."""

    @property
    def said(self) -> str:
        """The first test that failed, or the end of the output if none did."""
        failed = FAILED.search(self.output)
        return failed[1] if failed else self.output.strip().rpartition("\n")[2]


def load() -> list[Weakening]:
    """Read weakenings.toml. Raises ValueError if two have one name."""
    document = tomllib.loads((Path(__file__).parent / "weakenings.toml").read_text(encoding="utf-8"))
    found = [Weakening(**members) for members in document["weakening"]]
    if len({weakening.name for weakening in found}) != len(found):
        msg = "two weakenings have the same name"
        raise ValueError(msg)
    return found


def check_strict(folder: Path) -> None:
    """Run the proof on the code as it is, and make sure that a change is what is proven. Raises ValueError."""
    strict = Weakening(
        "none", "tokens.py", "from __future__ import annotations\n", "from __future__ import annotations\n"
    )
    broken = Weakening("nothing works", strict.file, strict.old, "raise SystemExit('weak')\n")
    for outcome in try_all([strict, broken], folder):
        if outcome.weakening is strict and outcome.code != PASSED:
            msg = f"the proof fails without any weakening:\n{outcome.output}"
            raise ValueError(msg)
        if outcome.weakening is broken and "weak" not in outcome.output:
            msg = "the proof does not look at what was changed"
            raise ValueError(msg)


def try_all(weakenings: Sequence[Weakening], folder: Path) -> Iterator[Outcome]:
    """Run the proof with each, some at once, and yield outcomes as they come; outputs go into `folder`.

    Raises ValueError if one of them gives no verdict. Ends the children that still run when it is closed.
    """
    waiting = list(reversed(weakenings))
    running: dict[int, tuple[Weakening, Path]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                weakening = waiting.pop()
                output = folder / f"{len(waiting)}"
                pid = proof.start(weakening.module, weakening.source(), output)
                running[pid] = (weakening, output)
            pid, status, used = os.wait3(0)
            weakening, output = running.pop(pid)
            yield Outcome(
                weakening,
                os.waitstatus_to_exitcode(status),
                output.read_text(encoding="utf-8", errors="replace"),
                used.ru_utime + used.ru_stime,
            )
    finally:
        proof.end(running)


def main(arguments: Sequence[str] = ()) -> int:
    """Try all weakenings, or those with these names, or every N-th of them; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation.run")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only one of so many, others on another day")
    chosen = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        weakenings = [weakening for weakening in load() if not chosen.names or weakening.name in chosen.names]
        weakenings = weakenings[int(time.time() // 86400) % chosen.every :: chosen.every]
        with tempfile.TemporaryDirectory(prefix="weakened-") as folder:
            proof.warm()
            check_strict(Path(folder))
            survivors = _survivors(weakenings, Path(folder))
    except ValueError as error:
        _say(f"error: {error}")
        return 2
    for survivor in survivors:
        _say(f"survived: {survivor.file}: {survivor.name}: {survivor.old.strip()} -> {survivor.new.strip()}")
    caught = len(weakenings) - len(survivors)
    seconds = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    figures = f"{caught} caught, {len(survivors)} survived, in {seconds:.0f} s ({cpu:.0f} s of CPU)"
    _say(f"{len(weakenings)} weakenings: {figures}")
    return 1 if survivors or not weakenings else 0


def _survivors(weakenings: Sequence[Weakening], folder: Path) -> list[Weakening]:
    survivors = []
    for number, outcome in enumerate(try_all(weakenings, folder), 1):
        weakening = outcome.weakening
        if outcome.code not in (PASSED, FOUND_FAILURES):
            msg = f"{weakening.name}: the proof gave no verdict ({outcome.code}):\n{outcome.output}"
            raise ValueError(msg)
        verdict = "caught" if outcome.code == FOUND_FAILURES else "SURVIVED"
        _say(
            f"[{number}/{len(weakenings)}] {verdict} {outcome.seconds:4.1f} s  "
            f"{weakening.file}: {weakening.name}  ({outcome.said})"
        )
        if outcome.code == PASSED:
            survivors.append(weakening)
    return survivors


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
