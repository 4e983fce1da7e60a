"""Weakens the verifier and the guard, one line at a time, in copies of the package, and sees every weakening caught.

    python -m tests.mutation.run

Each of weakenings.toml is what a slip could make of a check. A table that still passes with one of them applied
proves nothing about that check. Exit code 1 names those; nothing in the checkout is touched.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

__all__ = ["Weakening", "load", "main"]

ROOT = Path(__file__).parents[2]
ROOM = Path("ordermgmt/security")
PROOF = (
    ("tests/unit/test_vectors.py", "tests/unit/test_unforgeable_rows.py", "tests/unit/test_revocations.py"),
    ("tests/contract/test_unforgeable_callers.py", "tests/contract/test_unforgeable.py"),
)
"""In two steps: the first needs no service, takes a second, and catches most."""
AT_ONCE = 2
TIMEOUT = 200.0
"""Seconds that one step of the proof may take; both together take about 12."""
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

    def apply(self, root: Path) -> None:
        """Rewrite the file below `root`. Raises ValueError if it does not hold `old` exactly once."""
        path = root / ROOM / self.file
        source = path.read_text(encoding="utf-8")
        found = source.count(self.old)
        if found != 1:
            msg = f"{self.name}: {ROOM / self.file} holds its old line {found} times: {self.old!r}"
            raise ValueError(msg)
        weakened = source.replace(self.old, self.new)
        compile(weakened, path, "exec")
        path.write_text(weakened, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the proof said."""

    weakening: Weakening
    caught: bool
    said: str
    """The first test that failed, or the end of the output if none did."""
    seconds: float


def load() -> list[Weakening]:
    """Read weakenings.toml. Raises ValueError if two have one name."""
    document = tomllib.loads((Path(__file__).parent / "weakenings.toml").read_text(encoding="utf-8"))
    found = [Weakening(**members) for members in document["weakening"]]
    if len({weakening.name for weakening in found}) != len(found):
        msg = "two weakenings have the same name"
        raise ValueError(msg)
    return found


def copy(source: Path, folder: Path) -> None:
    """Copy what the proof needs, bytecode included: Python looks at the dates of sources, which are kept."""
    for name in ("ordermgmt", "tests"):
        shutil.copytree(source / name, folder / name)
    shutil.copy(source / "pyproject.toml", folder)


def prove(folder: Path) -> tuple[int, str]:
    """Run the proof in a copy, up to its first failure; return pytest's exit code and its output.

    Raises ValueError if it takes too long: that is no verdict, as a busy machine is slow too.
    """
    options = ["-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    code, output = PASSED, ""
    for files in PROOF:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *options, *files],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": str(folder)},
                check=False,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired as error:
            msg = f"the proof gave no verdict within {TIMEOUT:.0f} s"
            raise ValueError(msg) from error
        code, output = done.returncode, done.stdout + done.stderr
        if code != PASSED:
            break
    return code, output


def try_out(weakening: Weakening, strict: Path) -> Outcome:
    """Apply one weakening to a copy of `strict` and run the proof. Raises ValueError if that is not possible."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="weakened-") as name:
        folder = Path(name)
        copy(strict, folder)
        weakening.apply(folder)
        code, output = prove(folder)
    if code not in (PASSED, FOUND_FAILURES):
        msg = f"{weakening.name}: the proof could not run:\n{output}"
        raise ValueError(msg)
    failed = FAILED.search(output)
    said = failed[1] if failed else output.strip().rpartition("\n")[2]
    return Outcome(weakening, code == FOUND_FAILURES, said, time.monotonic() - started)


def check_strict(strict: Path) -> None:
    """Run the proof on the copy as it is, and make sure that a copy is what is proven. Raises ValueError."""
    code, output = prove(strict)
    if code != PASSED:
        msg = f"the proof fails without any weakening:\n{output}"
        raise ValueError(msg)
    broken = Weakening(
        "nothing works", "tokens.py", "from __future__ import annotations\n", "raise SystemExit('weak')\n"
    )
    with tempfile.TemporaryDirectory(prefix="weakened-") as name:
        copy(strict, Path(name))
        broken.apply(Path(name))
        if "weak" not in prove(Path(name))[1]:
            msg = "the proof does not look at the copy"
            raise ValueError(msg)


def main(names: Sequence[str] = ()) -> int:
    """Try all weakenings, or those with these names; return the exit code."""
    started = time.monotonic()
    try:
        weakenings = [weakening for weakening in load() if not names or weakening.name in names]
        with tempfile.TemporaryDirectory(prefix="strict-") as folder:
            copy(ROOT, Path(folder))
            check_strict(Path(folder))
            survivors = _try_all(weakenings, Path(folder))
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


def _try_all(weakenings: Sequence[Weakening], strict: Path) -> list[Weakening]:
    survivors = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = pool.map(partial(try_out, strict=strict), weakenings)
        for number, outcome in enumerate(outcomes, 1):
            verdict = "caught" if outcome.caught else "SURVIVED"
            weakening = outcome.weakening
            _say(
                f"[{number}/{len(weakenings)}] {verdict} {outcome.seconds:4.1f} s  "
                f"{weakening.file}: {weakening.name}  ({outcome.said})"
            )
            if not outcome.caught:
                survivors.append(weakening)
    return survivors


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copies are removed
    sys.exit(main(sys.argv[1:]))
