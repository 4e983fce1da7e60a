"""What the commands say, and how they end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio
import trio.testing
from click.testing import CliRunner, Result

from ordermgmt.__main__ import main
from tests.unit.backup_setup import change, fill


@pytest.fixture
def data(tmp_path: Path) -> Path:
    trio.run(fill, tmp_path / "data", clock=trio.testing.MockClock(autojump_threshold=0))
    return tmp_path / "data"


def invoke(tmp_path: Path, *arguments: str, **settings: str) -> Result:
    settings = {"ORDERMGMT_SUITE_DATA": str(tmp_path / "data"), **settings}
    return CliRunner().invoke(main, arguments, env=settings)


def test_the_commands_say_what_they_did(tmp_path: Path, data: Path) -> None:
    target = str(tmp_path / "backup")
    done = invoke(tmp_path, "backup", target)
    assert done.exit_code == 0, done.output
    size = (tmp_path / "backup" / "order.sqlite").stat().st_size
    assert done.output.splitlines()[2] == f"order.sqlite: {size} bytes"
    assert re.fullmatch(r"changes of orders were held for \d+\.\d ms", done.output.splitlines()[6])
    assert "\nstock and orders agree: 4 goods\n" in done.output
    assert done.output.endswith(f"{target} is complete; it does not hold certs: keep a copy of that folder apart\n")
    done = invoke(tmp_path, "restore", target)
    assert (done.exit_code, done.output) == (
        1,
        f"Error: {data}/sts.sqlite is there already: with --force what is in {data} is moved aside first\n",
    )
    done = invoke(tmp_path, "restore", "--force", target)
    assert done.exit_code == 0, done.output
    assert re.search(r"^good +added +stock +in orders +under way +missing$", done.output, re.MULTILINE)
    assert re.search(r"^books/978-1617295959 +10 +5 +3 +2 +0$", done.output, re.MULTILINE)
    assert "all sessions and tokens of then are over\nwhat was there is in " in done.output


def test_the_commands_show_what_does_not_agree(tmp_path: Path, data: Path) -> None:
    change(data / "order.sqlite", "DELETE FROM orders")
    target = str(tmp_path / "backup")
    done = invoke(tmp_path, "backup", target)
    assert done.exit_code == 1
    assert re.search(r"^good .*\nbooks/978-1617295959 +10 +5 +0 +2 +3$", done.output, re.MULTILINE)
    assert done.output.endswith(" stock and orders do not agree: restoring it takes --unbalanced\n")
    done = invoke(tmp_path, "restore", "--force", target)
    assert done.exit_code == 1
    assert re.search(r"^good .*\nbooks/978-1617295959 +10 +5 +0 +2 +3$", done.output, re.MULTILINE)
    assert "Error: stock and orders do not agree on 1 goods: --unbalanced " in done.output
    assert invoke(tmp_path, "restore", "--force", "--unbalanced", target).exit_code == 0


@pytest.mark.parametrize(
    ("command", "tool"), [("backup", "pg_dump"), ("restore", "pg_restore, and then ordermgmt tokens revoke-all")]
)
def test_postgresql_has_its_own_tools(command: str, tool: str, tmp_path: Path) -> None:
    done = invoke(tmp_path, command, "folder", ORDERMGMT_SUITE_DATABASE="postgresql://user@localhost/none")
    assert done.exit_code == 1
    assert done.output.startswith("Error: suite.database: this command is for SQLite files")
    assert done.output.endswith(f"use {tool}\n")
