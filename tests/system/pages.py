"""Pages of the documentation as something that runs: their commands, and their changes to the source."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.system.processes import ROOT, SuiteProcess, environment

__all__ = ["DOCS", "HOW_TO", "PAGES", "blocks", "commands", "heading_anchors", "links", "run", "run_with"]

DOCS = ROOT / "docs"
HOW_TO = DOCS / "how-to"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
PORTS = {
    "9445": "sts",
    "9446": "sts_mtls",
    "9090": "order",
    "9091": "inventory",
    "9092": "rates",
    "8443": "gateway",
    "9400": "admin",
}
"""Ports as pages print them, and whose they are."""
_STATUS = re.compile(r"HTTP/(?:1\.1|2) (\d+(?: [A-Za-z ]+)?)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def commands(page: Path) -> str:
    """Return what the page types against a running suite, one block after the other."""
    return "\n".join(blocks(page, "bash"))


def run_with(script: str, folder: Path, changes: Mapping[str, str] | None = None, *, timeout: float = 120) -> str:
    """Run commands in a folder, and return what they printed. Fails the test if one of them fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment(changes),
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def run(script: str, running: SuiteProcess, changes: Mapping[str, str] | None = None) -> list[str]:
    """Run a page's commands in the suite's folder and return the status lines that they showed."""
    for printed, service in PORTS.items():
        if service in running.ports:
            script = re.sub(rf"(localhost|127\.0\.0\.1):{printed}\b", rf"\1:{running.ports[service]}", script)
    return _STATUS.findall(run_with(script, running.folder, changes))


def links(page: Path) -> list[str]:
    """Return where the page's links lead."""
    return _LINK.findall(_FENCED.sub("", page.read_text()))


def heading_anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for title in re.findall(r"^#+ (.+)$", _FENCED.sub("", page.read_text()), flags=re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        number = next(n for n in range(len(found) + 1) if (f"{slug}-{n}" if n else slug) not in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found
