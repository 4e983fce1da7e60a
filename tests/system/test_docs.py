"""The pages keep their word: every command in them runs, every link leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.pages import DOCS, HOW_TO, PAGES, commands, heading_anchors, links, run
from tests.system.processes import ROOT, SuiteProcess, suite


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteProcess]:
    with suite(tmp_path_factory.mktemp("plain")) as running:
        yield running
        assert running.stop() == 0


def test_the_walk_of_the_readme(plain: SuiteProcess) -> None:
    assert run(commands(ROOT / "README.md"), plain) == ["201", "200", "403", "200"]


def test_the_commands_of_the_operators_page(plain: SuiteProcess) -> None:
    assert run(commands(DOCS / "operate.md"), plain) == ["200", "200", "200", "200", "200", "200", "401"]


def test_what_is_rotated(plain: SuiteProcess) -> None:
    assert run(commands(HOW_TO / "rotate.md"), plain) == []
    assert plain.is_ready()


def test_a_backup_is_taken_and_restored(tmp_path: Path) -> None:
    page = HOW_TO / "back-up.md"
    while_it_runs, when_it_is_stopped = re.findall(r"```bash\n(.*?)```", page.read_text(), flags=re.DOTALL)
    with suite(tmp_path) as running:
        run(while_it_runs, running)
        assert running.stop() == 0
        run(when_it_is_stopped, running)
    with suite(tmp_path) as running:
        assert running.stop() == 0


def test_the_story_of_the_guide(tmp_path: Path) -> None:
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    with suite(tmp_path, "--guide") as running:
        assert run(commands(DOCS / "guide.md"), running) == [
            "401 Unauthorized",
            "201 Created",
            "200 OK",
            "403 Forbidden",
            "200 OK",
            "200 OK",
        ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        target, _, anchor = link.partition("#")
        if ":" in target:
            continue
        path = page.parent / target if target else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in heading_anchors(path)):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_found() -> None:
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links(page)}
    index = {DOCS / "decisions"}
    assert [page for page in PAGES if page.resolve() not in linked and not index & set(page.parents)] == [
        ROOT / "README.md"
    ]
