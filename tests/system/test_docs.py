"""The pages keep their word: every command in them runs, every link leads somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ordermgmt.__main__ import main
from ordermgmt.commands.running import run as run_command
from tests.system.pages import DOCS, HOW_TO, PAGES, blocks, commands, heading_anchors, links, run
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


@pytest.mark.slow
def test_users_and_clients_are_added(plain: SuiteProcess) -> None:
    assert run(commands(HOW_TO / "users-and-clients.md"), plain) == []
    assert "carol\tenabled\tCarol C.\tclerk\tadd_order" in plain.command("users", "list")


@pytest.mark.slow
def test_what_is_rotated(plain: SuiteProcess) -> None:
    assert run(commands(HOW_TO / "rotate.md"), plain) == []
    assert plain.is_ready()


@pytest.mark.slow
def test_a_backup_is_taken_and_restored(tmp_path: Path) -> None:
    page = HOW_TO / "back-up.md"
    while_it_runs, when_it_is_stopped, to_practise = blocks(page, "bash")
    home = {"HOME": str(tmp_path / "home")}
    with suite(tmp_path) as running:
        run(while_it_runs, running, home)
        run(to_practise, running, home)
        assert running.stop() == 0
        run(when_it_is_stopped, running, home)
    for data in ("var", "var/practice"):
        with suite(tmp_path, changes={"ORDERMGMT_SUITE_DATA": data}) as running:
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


def typed(page: Path) -> list[list[str]]:
    """Return the commands that a page shows for a terminal, as words."""
    text = re.sub(r"\$\([^)]*\)", "1", "\n".join(blocks(page, "console")).replace("\\\n", " "))
    lines = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    return [
        shlex.split(command, comments=True) for line in lines for command in re.split(r" && | & | \| |(?<=z) &$", line)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_is_shown_for_a_terminal_is_there(page: Path) -> None:
    """What takes a terminal, minutes or other machines does not run here; but its targets and options exist."""
    for program, *words in typed(page):
        match program:
            case "make":
                assert words[0] in TARGETS
                for variable in words[1:]:
                    check_options(variable)
            case "ordermgmt":
                parse(main, words)
            case "python":
                assert words[0] == "supervisor.py"
                parse(run_command, words[1:])
            case ".":
                assert words == [".venv/bin/activate"]
            case "git":
                assert words[:1] == ["apply"]
                assert (ROOT / words[1]).is_file()
            case _:
                assert program in ELSEWHERE or (program.startswith("dist/") and program.endswith(".pyz"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_shows_a_claim_is_there(page: Path) -> None:
    """Commands within the text: those that measure, and those that prove."""
    inline = re.findall(r"`((?:make|\.venv/bin/pytest) [^`]+)`", re.sub(r"\s+", " ", page.read_text()))
    missing = []
    for command in inline:
        program, *words = shlex.split(command)
        named = [words[0]] if program == "make" else []
        paths = [path for word in words for path in re.findall(r"tests/[\w./-]+", word)]
        missing += [target for target in named if target not in TARGETS]
        missing += [path for path in paths if not (ROOT / path).exists()]
    assert missing == []


TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
ELSEWHERE = {"cp", "docker", "export", "kubectl", "openssl", "pg_restore", "scp"}


def check_options(variable: str) -> None:
    """Fail if `ARGS` of `make run` or `TESTS` of `make test` names what there is not."""
    name, _, value = variable.partition("=")
    if name == "ARGS":
        parse(run_command, shlex.split(value))
    else:
        assert name == "TESTS"
        assert (ROOT / value).exists() or "tests/contract/test_" in value


def parse(command: click.Command, words: list[str]) -> None:
    """Read a command line as click does, down to the last command. Raises what click raises; runs nothing."""
    context = command.make_context(command.name, list(words))
    while isinstance(context.command, click.Group):
        _, below, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        assert below is not None
        context = below.make_context(below.name, rest, parent=context)


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
    known = {ROOT / "README.md", *(DOCS / "decisions").iterdir()}
    assert [page for page in PAGES if page not in known and page not in linked] == []
