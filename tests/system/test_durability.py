"""What a process really does to its disk, seen from outside."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.processes import ROOT, environment

WRITING = str(ROOT / "tests" / "system" / "writing.py")


def synced_before_answer(folder: Path, level: str) -> bool:
    """Let a process write once, and tell whether it synced a file between the request and the answer."""
    trace = folder / "trace"
    watched = ["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=write,fsync,fdatasync"]
    subprocess.run(
        [*watched, sys.executable, WRITING, "one", str(folder), level],
        check=True,
        timeout=60,
        env=environment(),
        stdout=subprocess.DEVNULL,
    )
    _, request, rest = trace.read_text(encoding="utf-8").partition('"request')
    between, answer, _ = rest.partition('"answer')
    assert request, "the trace lacks the request"
    assert answer, "the trace lacks the answer"
    return re.search(r"\bf(data)?sync\(", between) is not None


@pytest.mark.parametrize(("level", "synced"), [("FULL", True), ("OFF", False)])
def test_a_write_is_synced_before_it_is_answered(level: str, tmp_path: Path, *, synced: bool) -> None:
    """With OFF the same check must fail, or it would prove nothing."""
    if shutil.which("strace") is None:
        pytest.skip("there is no strace to watch with; that the writer syncs is checked by its settings alone")
    assert synced_before_answer(tmp_path, level) is synced


def test_a_file_that_cannot_grow_loses_nothing_acknowledged(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, WRITING, "limited", str(tmp_path)],
        check=True,
        timeout=60,
        env=environment(),
        capture_output=True,
    )
    answers = {name: set(texts) for name, texts in json.loads(done.stdout).items()}
    assert "after" in answers["acknowledged"], "it recovers by itself"
    assert answers["refused"] | answers["unknown"], "the limit was never met"
    assert len(answers["acknowledged"]) > 1, "not all is refused"
    assert answers["acknowledged"] <= answers["kept"] <= answers["acknowledged"] | answers["unknown"]
    assert not answers["refused"] & answers["kept"]
