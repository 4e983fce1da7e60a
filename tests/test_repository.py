"""What is kept in the repository besides source: locked requirements, decisions, and no secrets."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
LOCKS = {"run.txt": ["build"], "dist.txt": [], "dev.txt": ["build", "dist", "test", "lint"]}
"""Each lock, and the dependency groups that it holds besides the project's own dependencies."""

ALL_LOCKS = (*LOCKS, "bench.txt")

LOCK_LINE = re.compile(
    r"""
    (?: \s*\#\ (?!.*(?://|\s/))[\w\ .:()/-]+                        # a remark, without addresses and absolute paths
      | (?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>[0-9][^\s;]*)     # one exact version
        (?:\ (?:;|and)\ [a-z_]+\ [<>=!]+\ '[^'/:]+')*\ \\
      | \ {4}--hash=sha256:[0-9a-f]{64}(?:\ \\)?
    )""",
    re.VERBOSE,
)
PRIVATE_KEY = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}"  # PEM
    rb"""|["'](?:d|dp|dq|qi)["']\s*:\s*["'][A-Za-z0-9_-]{40,}["']"""  # JWK
)


def read_lock(name: str) -> tuple[dict[str, str], list[str]]:
    """Return the versions by package of a lock, and the lines that do not belong into one."""
    versions: dict[str, str] = {}
    strange = []
    for line in (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines():
        match = LOCK_LINE.fullmatch(line)
        if match is None:
            strange.append(line)
        elif match["name"]:
            versions[match["name"]] = match["version"]
    return versions, strange


def requirements(groups: list[str]) -> list[Requirement]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    texts = list(project["project"]["dependencies"])
    for group in groups:
        texts += project["dependency-groups"][group]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("name", ALL_LOCKS)
def test_lock_holds_exact_versions_and_hashes_and_no_addresses(name: str) -> None:
    versions, strange = read_lock(name)
    assert strange == []
    assert versions


@pytest.mark.parametrize(("name", "groups"), LOCKS.items())
def test_lock_satisfies_the_project(name: str, groups: list[str]) -> None:
    versions, _ = read_lock(name)
    stale = [
        str(wanted)
        for wanted in requirements(groups)
        if not wanted.specifier.contains(Version(versions.get(canonicalize_name(wanted.name), "0")))
    ]
    assert stale == [], "run `make lock`"


def test_all_locks_fit_into_one_environment() -> None:
    run, dist, dev = (read_lock(name)[0] for name in ("run.txt", "dist.txt", "dev.txt"))
    assert run.items() | dist.items() <= dev.items()


def test_no_private_key_is_kept() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    assert files
    assert [path for path in files if path.is_file() and PRIVATE_KEY.search(path.read_bytes())] == []


def test_generated_secrets_are_ignored() -> None:
    secret = ["certs/ca.key", "certs/order/key.pem", "var/credentials.json"]
    ignored = subprocess.run(
        ["git", "check-ignore", *secret, "certs/README.md"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert ignored.stdout.split() == secret


def test_decisions_are_numbered_without_gaps() -> None:
    files = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(path.name[:4]) for path in files] == list(range(1, len(files) + 1))
    assert [path.name for path in files if not re.fullmatch(r"\d{4}(-[a-z0-9]+)+\.md", path.name)] == []
    titles = [path.read_text(encoding="utf-8").partition(". ")[0] for path in files]
    assert titles == [f"# {number}" for number in range(1, len(files) + 1)]
