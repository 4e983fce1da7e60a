"""The page of metrics: the table is made from a scrape, what stands around it is written by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.observability.scrape import Scraped

__all__ = ["PAGE", "render"]

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
_TABLE = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- end -->)", re.DOTALL)


def render(page: str, metrics: Sequence[Scraped]) -> str:
    """Return the page with the table of these metrics in it."""
    rows = ["| metric | kind | labels | of | meaning |", "|---|---|---|---|---|", *map(_row, metrics)]
    table = "".join(f"{row}\n" for row in rows)
    return _TABLE.sub(lambda _: table, page)


def _row(metric: Scraped) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels if label != "le")
    services = ", ".join(metric.services)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {services} | {metric.meaning} |"
