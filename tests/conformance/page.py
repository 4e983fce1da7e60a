"""The page that the table is shown on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.conformance.rows import Row, Standard, Status

__all__ = ["PAGE", "render"]

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
HEAD = """\
# What the standards ask for

Each row is a requirement of a standard that concerns an authorization server, a resource server, or, where a service is
one, a client. It names the test that fails when the requirement is not kept. Most requirements are a MUST of their
standard; some are a SHOULD on which others rely. Sections are those of the standard.

`make conformance` writes this page from the tables in [tests/conformance/rows](../tests/conformance/rows), and
`make test` makes sure that the page is current and that each test is there, asserts something and is not skipped.
"""


def render(standards: Sequence[Standard]) -> str:
    """Return the page, in Markdown."""
    return "\n".join([HEAD, *_summary(standards), *_differences(standards), *_absences(standards), *_tables(standards)])


def _summary(standards: Sequence[Standard]) -> Iterator[str]:
    yield "| standard | | met | not offered | different |"
    yield "|---|---|--:|--:|--:|"
    for standard in standards:
        counts = [str(len(standard.of(status))) for status in Status]
        yield f"| [{standard.name}](#{_anchor(standard)}) | {standard.title} | {' | '.join(counts)} |"
    sums = [str(sum(len(standard.of(status)) for standard in standards)) for status in Status]
    yield f"| all | | {' | '.join(sums)} |\n"


def _differences(standards: Sequence[Standard]) -> Iterator[str]:
    yield "## What is deliberately different\n"
    for standard in standards:
        for row in standard.of(Status.DIFFERS):
            yield f"- **{standard.name}, section {row.section}.** {row.requirement}. {_shown(row)}"
    yield ""


def _absences(standards: Sequence[Standard]) -> Iterator[str]:
    yield "## What is not offered\n"
    yield "It is refused, or not announced, as the tests show.\n"
    for standard in standards:
        for row in standard.of(Status.NOT_OFFERED):
            yield f"- {row.requirement} ({standard.name}, section {row.section}). {_shown(row)}"
    yield ""


def _tables(standards: Sequence[Standard]) -> Iterator[str]:
    for standard in standards:
        yield f"## {standard.name}\n"
        yield f"{standard.title}\n"
        yield "| section | requirement | shown by |"
        yield "|---|---|---|"
        for row in standard.of(Status.MET):
            yield f"| {row.section} | {row.requirement} | {_shown(row)} |"
        yield ""


def _shown(row: Row) -> str:
    path, _, name = row.test.partition("::")
    case = f": `{row.case}`" if row.case else ""
    return f"[{name}](../tests/{path}){case}"


def _anchor(standard: Standard) -> str:
    return standard.name.lower().replace(" ", "-")
