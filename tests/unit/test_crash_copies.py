"""What the crash test is tried without is still there to be taken out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.crash.weakened import COPIES, Copy, Edit
from tests.mutation.run import ROOT

ORDER = Path("ordermgmt/order")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / ORDER, tmp_path / ORDER)
    return tmp_path


@pytest.mark.parametrize("one", COPIES, ids=[one.name for one in COPIES])
def test_each_copy_is_changed_code_that_compiles(one: Copy, copied: Path) -> None:
    for edit in one.edits:
        edit.apply(copied)
        path = copied / ORDER / edit.file
        assert path.read_text() != (ROOT / ORDER / edit.file).read_text()
        if path.suffix == ".py":
            compile(path.read_text(), path, "exec")


def test_a_line_that_is_gone_is_named(copied: Path) -> None:
    with pytest.raises(ValueError, match=r"changes\.py holds 0 times: 'if x:'"):
        Edit("changes.py", "if x:", "if y:").apply(copied)
