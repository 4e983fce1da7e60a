"""The table of what the standards ask for: what a row is, and the files in `rows/`.

Each file begins with a line `<standard> | <its title>`. Then come rows, one a line:
`<section> | <status> | <requirement, or what is different> | <test>`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = ["Row", "Standard", "Status", "read_rows", "read_standards"]

FOLDER = Path(__file__).parent / "rows"


class Status(StrEnum):
    """How it is with a requirement."""

    MET = "met"
    NOT_OFFERED = "not offered"
    """What it is about does not exist here; the test shows that it is refused, or not announced."""
    DIFFERS = "differs"
    """Something else is done, and the row says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """A requirement of a standard that is ours to keep, and the test that fails when it is not kept."""

    section: str
    status: Status
    requirement: str
    """In our words, as a sentence about this system."""
    test: str
    """Path below `tests/`, `::`, and the name of a function."""
    case: str
    """Which of the function's cases it is, as pytest or the table of the cases has it. Empty: the function's all."""


@dataclass(frozen=True, slots=True)
class Standard:
    """All rows of one standard, in its order."""

    name: str
    title: str
    rows: Sequence[Row]

    def of(self, *statuses: Status) -> Sequence[Row]:
        """Return the rows of these statuses."""
        return [row for row in self.rows if row.status in statuses]


def read_standards() -> Sequence[Standard]:
    """Read all files. Raises ValueError for a line that is no row."""
    standards = [_read(path) for path in FOLDER.glob("*.txt")]
    return sorted(standards, key=lambda standard: standard.name.split()[::-1])


def _read(path: Path) -> Standard:
    first, *lines = path.read_text(encoding="utf-8").splitlines()
    name, title = first.split(" | ")
    return Standard(name, title, tuple(read_rows(lines)))


def read_rows(lines: Sequence[str]) -> Iterator[Row]:
    """Yield the rows in these lines. Raises ValueError for one that is none."""
    for line in filter(None, lines):
        section, status, requirement, test = line.split(" | ")
        name, _, case = test.partition("[")
        yield Row(section, Status(status), requirement, name, case.removesuffix("]"))
