"""A run of tests in which a secret reaches a log fails, with and without workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.processes import ROOT


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of another folder in a process of its own."""
    settings = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *settings, *arguments, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)


@pytest.mark.slow
def test_a_run_in_which_a_secret_is_logged_fails(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_planted.py").write_text(
        "from ordermgmt.security.keys import SigningKey\n"
        "from ordermgmt.telemetry.logs import get_logger\n"
        "def test_that_logs_a_part_of_a_token():\n"
        "    token = SigningKey.generate('ES256').sign({'iss': 'https://sts'}, 'at+jwt')\n"
        "    get_logger('order').info('planted', value=token.rpartition('.')[2])\n"
        "def test_that_does_not():\n"
        "    get_logger('order').info('planted')\n"
    )
    for workers in ("0", "2"):
        done = run_pytest(tmp_path, "-n", workers)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "2 passed, 1 error" in done.stdout
        assert "log: JWT in" in done.stdout
