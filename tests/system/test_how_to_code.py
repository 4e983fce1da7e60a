"""The pages that add to the source are applied to a copy of it, which then does what they say."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.pages import HOW_TO, commands, run, run_with
from tests.system.processes import ROOT, suite

PAGES = {"add-a-route": ["200"], "add-a-scope": ["201", "200", "403"], "add-a-service": ["200"]}
"""What their last commands answer."""
AFFECTED = (
    "tests/test_architecture.py",
    "tests/unit/test_config.py",
    "tests/reference",
    "tests/contract/test_openapi.py",
    "tests/contract/test_deployment.py",
    "tests/contract/test_table_of_calls.py",
    "tests/system/test_deployment_files.py",
)
"""Tests that look at tables, and would miss what is not in them."""


def apply(page: str, *options: str, folder: Path = ROOT) -> str:
    command = ["git", "apply", *options, str(HOW_TO / f"{page}.md")]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_changes_is_as_it_shows(page: str) -> None:
    apply(page, "--check")


def copy(folder: Path) -> Path:
    """Copy the repository as git knows it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_copy_of_the_source_does_what_the_page_says(page: str, tmp_path: Path) -> None:
    source, place = copy(tmp_path / "source"), tmp_path / "place"
    added = [line.split()[2] for line in apply(page, "--numstat").splitlines()]
    apply(page, folder=source)
    tests = [name for name in added if "/test_" in name]
    assert tests
    of_the_copy = {"PYTHONPATH": str(source)}
    python = sys.executable
    script = f"""
        {python} -m tests.reference
        {python} -m ruff check --no-cache . && {python} -m ruff format --no-cache --check .
        {python} -m pytest -q -p no:cacheprovider {" ".join(dict.fromkeys([*tests, *AFFECTED]))}
    """
    run_with(script, source, of_the_copy, timeout=240)
    place.mkdir()
    with suite(place, changes=of_the_copy, program=(python, str(source / "supervisor.py"))) as running:
        assert run(commands(HOW_TO / f"{page}.md"), running, of_the_copy) == PAGES[page]
        assert running.stop() == 0
