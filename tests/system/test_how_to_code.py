"""The pages that add to the source are applied to a copy of it, which then does what they say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.pages import HOW_TO, commands, run
from tests.system.processes import ROOT, suite

PAGES = {"add-a-route": ["200"], "add-a-scope": ["201", "200", "403"], "add-a-service": ["200"]}
"""What their last commands answer."""
LOOKED_UP = (
    "tests/test_architecture.py",
    "tests/unit/test_config.py",
    "tests/reference",
    "tests/contract/test_openapi.py",
)
"""Tests that look at lists of routes, settings and files, and would miss what is not in them."""
OF_SERVICES = (
    "tests/unit/test_edges.py",
    "tests/contract/test_deployment.py",
    "tests/contract/test_operate.py",
    "tests/contract/test_table_of_calls.py",
    "tests/faults/test_restart.py",
    "tests/observability",
    "tests/system/test_deployment_files.py",
)
"""Likewise, of the table of services."""


def apply(page: str, *options: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = ["git", "apply", *options, str(HOW_TO / f"{page}.md")]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_changes_is_as_it_shows(page: str) -> None:
    done = apply(page, "--check")
    assert done.returncode == 0, done.stderr


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
    added = [line.split()[2] for line in apply(page, "--numstat").stdout.splitlines()]
    assert apply(page, folder=source).returncode == 0
    tests = [name for name in added if "/test_" in name]
    assert tests
    check(source, "tests.reference")
    if page == "add-a-service":
        check(source, "tests.observability")
    check(source, "ruff", "check", "--no-cache", ".")
    check(source, "ruff", "format", "--no-cache", "--check", ".")
    affected = LOOKED_UP + (OF_SERVICES if page == "add-a-service" else ())
    check(source, "pytest", "-q", "-p", "no:cacheprovider", *dict.fromkeys([*tests, *affected]))
    place.mkdir()
    of_the_copy = {"PYTHONPATH": str(source)}
    with suite(place, changes=of_the_copy, program=(sys.executable, str(source / "supervisor.py"))) as running:
        assert run(commands(HOW_TO / f"{page}.md"), running, of_the_copy) == PAGES[page]
        assert running.stop() == 0


def check(source: Path, *module: str) -> None:
    """Run a module in the copy. Fails the test if it fails."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ORDERMGMT_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", *module],
        cwd=source,
        env=inherited | {"PYTHONPATH": str(source)},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
