"""The web client: what its files may not do, and its pure parts, which node runs."""

from __future__ import annotations

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "ordermgmt" / "gateway" / "web"
FILES = sorted(path for path in WEB.rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
PAGES = [path for path in FILES if path.suffix == ".html"]

READS_HTML = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|setHTML|DOMParser|document\.write"
    r"|\beval\(|new Function|srcdoc|javascript:"
)
ELSEWHERE = re.compile(r"(?:https?:|[\"'(])//(?!www\.w3\.org/(?:2000/svg|1999/xlink)\b)")
IMPORT = re.compile(r"""(?:from|import)\s*\(?\s*["']([^"']+)["']""")


class Inline(HTMLParser):
    """Finds what a strict content security policy refuses: scripts and styles inside of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(f"<{tag}>")
        self.found += [f"{tag} {name}" for name in names if name == "style" or name.startswith("on")]


def test_there_are_files() -> None:
    assert {"index.html", "shop.js", "theme.css"} <= {path.name for path in FILES}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_reads_html(path: Path) -> None:
    assert READS_HTML.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    assert ELSEWHERE.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_have_no_script_or_style_inside(path: Path) -> None:
    assert Inline(path.read_text(encoding="utf-8")).found == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_what_a_script_imports_is_there(path: Path) -> None:
    wanted = IMPORT.findall(path.read_text(encoding="utf-8"))
    assert [name for name in wanted if name.startswith("./") and not (path.parent / name).is_file()] == []


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("<p>", []),
        ("<script>x</script>", ["<script>"]),
        ('<script src="/a.js"></script>', []),
        ('<p onclick="x" style="y">', ["p onclick", "p style"]),
    ],
)
def test_the_check_of_pages_finds_something(page: str, found: list[str]) -> None:
    assert Inline(page).found == found


@pytest.mark.node
def test_the_pure_parts_hold() -> None:
    tests = sorted(str(path) for path in (ROOT / "tests" / "node").glob("*.test.js"))
    assert tests
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", *tests], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
