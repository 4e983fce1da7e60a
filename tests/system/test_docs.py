"""The pages keep their word: every command in them runs, every link leads somewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.system.processes import ROOT, SuiteProcess, environment, suite

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PORTS = {"9445": "sts", "9446": "sts_mtls", "9090": "order", "8443": "gateway", "9400": "admin"}


def commands(page: Path) -> str:
    return "\n".join(re.findall(r"```bash\n(.*?)```", page.read_text(), flags=re.DOTALL))


def run(script: str, running: SuiteProcess) -> list[str]:
    """Run a page's commands in the suite's folder and return the status lines that they showed."""
    for printed, service in PORTS.items():
        script = script.replace(f"localhost:{printed}", f"localhost:{running.ports[service]}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=running.folder,
        env=environment(),
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return re.findall(r"HTTP/(?:1\.1|2) (\d+(?: [A-Za-z ]+)?)", done.stdout)


def test_the_walk_of_the_readme(tmp_path: Path) -> None:
    with suite(tmp_path) as running:
        assert run(commands(ROOT / "README.md"), running) == ["201", "200", "403", "200"]


def test_the_story_of_the_guide(tmp_path: Path) -> None:
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    with suite(tmp_path, "--guide") as running:
        assert run(commands(ROOT / "docs/guide.md"), running) == [
            "401 Unauthorized",
            "201 Created",
            "200 OK",
            "403 Forbidden",
            "200 OK",
            "200 OK",
        ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
