"""The weakenings that `make mutation` tries still say something about the code as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation.run import ROOM, ROOT, Weakening, load

WEAKENINGS = load()


@pytest.mark.parametrize("weakening", WEAKENINGS, ids=[weakening.name for weakening in WEAKENINGS])
def test_it_changes_one_line_of_the_code_as_it_is(weakening: Weakening) -> None:
    before = (ROOT / ROOM / weakening.file).read_text().splitlines()
    after = weakening.source().splitlines()
    assert len(before) == len(after)
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 1


def test_a_line_that_is_gone_is_named(tmp_path: Path) -> None:
    path = tmp_path / ROOM / "tokens.py"
    path.parent.mkdir(parents=True)
    path.write_text("pass\n")
    with pytest.raises(ValueError, match=r"gone: .*tokens\.py holds its old line 0 times: 'if x:'"):
        Weakening("gone", "tokens.py", "if x:", "if y:").source(tmp_path)


def test_every_room_file_that_decides_is_weakened() -> None:
    decides = {
        "tokens",
        "claims",
        "jose_json",
        "jwk_set",
        "signatures",
        "bearer",
        "scopes",
        "binding",
        "verifier",
        "revocations",
        "guard",
    }
    assert {weakening.file for weakening in WEAKENINGS} == {f"{name}.py" for name in decides}
    assert len(WEAKENINGS) >= 100
