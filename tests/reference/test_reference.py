"""The reference is current: `make reference` would change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reference.pages import FOLDER, render
from tests.reference.source import problems


@pytest.fixture(scope="module")
def pages() -> dict[Path, str]:
    return dict(render())


def test_the_pages_are_current(pages: dict[Path, str]) -> None:
    stale = [path.name for path, content in pages.items() if path.read_text(encoding="utf-8") != content]
    assert stale == [], "run `make reference`"


def test_no_page_is_left_over(pages: dict[Path, str]) -> None:
    assert {path for path in FOLDER.glob("*.md") if path.name != "README.md"} == set(pages)


def test_every_error_says_what_it_means() -> None:
    refused = {"Unauthenticated", "Forbidden"}  # of tokens: docs/tokens.md has them
    silent = [
        f"{one.code} in {one.module}"
        for one in problems()
        if not one.meaning and not (one.kind in refused and one.module.startswith("security/"))
    ]
    assert silent == []
