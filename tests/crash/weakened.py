"""Takes out what keeps orders and stock together, one thing at a time, in copies, and sees the crash test fail.

    python -m tests.crash.weakened [NAME ...]

A crash test that passes without the one-operation slot, or without the compare-and-set of outcomes, proves nothing
about them. In all copies a process waits a moment between an answer of inventory and its outcome, so that what comes
in between comes often; the first copy has nothing but that, and must pass. Nothing in the checkout is touched.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.run import ROOT

__all__ = ["main"]

TIMEOUT = 240.0
PASSED, FOUND_WRONG = 0, 1
PAUSES = ("--kills=0", "--victims=pause-order", "--clients=20", "--inventory-timeout=0.4")


@dataclass(frozen=True, slots=True)
class Edit:
    """One place of one file of the order service."""

    file: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        """Rewrite the file below `root`. Raises ValueError if it does not hold `old` exactly once."""
        path = root / "ordermgmt" / "order" / self.file
        source = path.read_text(encoding="utf-8")
        if source.count(self.old) != 1:
            msg = f"{self.file} holds {source.count(self.old)} times: {self.old!r}"
            raise ValueError(msg)
        path.write_text(source.replace(self.old, self.new), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Copy:
    """A changed copy, how it is tested, and what must be found."""

    name: str
    edits: Sequence[Edit]
    arguments: Sequence[str]
    passes: bool = False


SLOW = Edit(
    "settlement.py",
    "            settled = await self._conclude(entry, await self._attempt(entry, claimed_at))\n",
    "            verdict = await self._attempt(entry, claimed_at)\n"
    "            await trio.sleep(0.3)\n"
    "            settled = await self._conclude(entry, verdict)\n",
)
SLOT = (
    Edit("migrations/0002_journal.sql", "CREATE UNIQUE INDEX journal_unfinished", "CREATE INDEX journal_unfinished"),
    Edit("changes.py", "journal_store.is_taken(tx, ask.order_id) or ", ""),
)
COMPARE_AND_SET = (
    Edit("journal_store.py", 'f" WHERE id = ? AND finished_at IS NULL{fence}"', '" WHERE id = ?"'),
    Edit("journal_store.py", "            *fenced,\n", ""),
)
COPIES = (
    Copy("slow, but complete", [SLOW], ["--pauses=4", *PAUSES], passes=True),
    Copy("without the slot", [SLOW, *SLOT], ["--kills=5", "--victims=order"]),
    Copy("without the compare-and-set", [SLOW, *COMPARE_AND_SET], ["--pauses=30", *PAUSES]),
)


def main(names: Sequence[str] = ()) -> int:
    """Test each copy, or those with these names; return 0 if it is found wrong what is wrong, and nothing else."""
    chosen = [one for one in COPIES if not names or one.name in names]
    bad = int(not chosen or len(chosen) < len(names))
    for one in chosen:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="weakened-") as name:
            folder = Path(name)
            _copy(folder)
            for edit in one.edits:
                edit.apply(folder)
            code, said = _crash_test(folder, one.arguments)
        expected = code == (PASSED if one.passes else FOUND_WRONG) and (one.passes or "WRONG" in said)
        bad += not expected
        verdict = {PASSED: "passed", FOUND_WRONG: "found wrong"}.get(code, f"ended with {code}")
        seconds = time.monotonic() - began
        _say(f"{'as expected' if expected else 'NOT AS EXPECTED'}: {one.name}: {verdict}, {seconds:.0f} s")
        _say(said if not expected else said.strip().rpartition("\n")[2])
    return 1 if bad else 0


def _copy(folder: Path) -> None:
    """Copy what a crash test needs, bytecode included: Python looks at the dates of sources, which are kept."""
    for name in ("ordermgmt", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("node_modules"))
    for name in ("pyproject.toml", "supervisor.py"):
        shutil.copy(ROOT / name, folder)


def _crash_test(folder: Path, arguments: Sequence[str]) -> tuple[int, str]:
    """Return the exit code of the crash test of a copy, and its output. Raises subprocess.TimeoutExpired."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crash", "--seed=1", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=TIMEOUT)
        finally:
            process.terminate()  # and so what it has started
    return process.returncode, said


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
