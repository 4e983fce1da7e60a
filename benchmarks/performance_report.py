"""The report of benchmarks.performance: what each kind of request is beside the peer, as a table, a plot and a page."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.extras import Figure
from benchmarks.rounds import Cell, Round
from benchmarks.svg import document, line, rect, text

__all__ = ["COLUMNS", "Table", "compare", "write_report"]

COLUMNS = (
    "work", "connections", "way", "requests/s", "peer", "ratio", "(lowest to highest)", "p50 ms", "peer", "p99 ms",
    "peer", "CPU ms", "peer",
)  # fmt: skip
COLOURS = {"direct": "#2f6f9f", "gateway": "#c8742c"}
WIDTH, LEFT, ROW, TOP = 720, 150, 16, 40
WIDEST = 5.0
"""The ratio at the right edge of the plot; a longer bar is cut there, and says so."""

Table = Sequence[tuple[Cell, str, Sequence[tuple[Round, Round]]]]
"""Each kind of request, the way it took here, and its rounds: ours, and the peer's beside it."""


def compare(rounds: Iterable[Round]) -> Table:
    """Put each round of ours beside the peer's of the same turn. Rounds come in the order in which they were run."""
    found: dict[tuple[Cell, str], list[Round]] = {}
    for one in rounds:
        found.setdefault((one.cell, one.subject), []).append(one)
    return [
        (cell, way, list(zip(ours, found.get((cell, "peer"), ()), strict=False)))
        for (cell, way), ours in found.items()
        if way != "peer" and (cell, "peer") in found
    ]


def row(cell: Cell, way: str, pairs: Sequence[tuple[Round, Round]]) -> list[str]:
    """Return one cell for each of COLUMNS: medians, but for the spread of the ratio."""

    def median(name: str, side: int) -> float:
        return float(statistics.median(getattr(pair[side], name) for pair in pairs))

    ratios = sorted(ours.per_second / peer.per_second for ours, peer in pairs)
    return [
        cell.work, str(cell.connections), way, f"{median('per_second', 0):.0f}", f"{median('per_second', 1):.0f}",
        f"{statistics.median(ratios):.2f}", f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
        f"{median('p50', 0):.1f}", f"{median('p50', 1):.1f}", f"{median('p99', 0):.1f}", f"{median('p99', 1):.1f}",
        f"{median('cpu', 0):.2f}", f"{median('cpu', 1):.2f}",
    ]  # fmt: skip


def write_report(
    docs: Path, table: Table, figures: Sequence[Figure], *, rounds: int, seconds: float, load: float
) -> list[Path]:
    """Write the page and its plot below `docs`; return their paths. `load` is the machine's own, before the run."""
    page, image = docs / "performance.md", docs / "img" / "performance.svg"
    image.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(_page(table, figures, rounds=rounds, seconds=seconds, load=load), encoding="utf-8")
    image.write_text(plot(table), encoding="utf-8")
    return [page, image]


def plot(table: Table) -> str:
    """Draw a bar of the median ratio for each row, with a line from the lowest to the highest, and one at 1."""

    def x(ratio: float) -> float:
        return LEFT + min(ratio, WIDEST) / WIDEST * (WIDTH - LEFT - 60)

    height = TOP + ROW * len(table) + 10
    parts = [text(LEFT, 16, "requests per second, to the peer's", "start")]
    for place, way in enumerate(COLOURS):
        parts += [
            rect(LEFT + 230 + 90 * place, 6, 12, 12, COLOURS[way]),
            text(LEFT + 247 + 90 * place, 16, way, "start"),
        ]
    for tick in range(int(WIDEST) + 1):
        parts += [line(x(tick), TOP - 6, x(tick), height - 8, "#ccc"), text(x(tick), TOP - 10, str(tick), "middle")]
    for number, (cell, way, pairs) in enumerate(table):
        y = TOP + ROW * number
        ratios = sorted(ours.per_second / peer.per_second for ours, peer in pairs)
        middle = statistics.median(ratios)
        parts += [
            text(LEFT - 6, y + 11, f"{cell.work}, {cell.connections}", "end"),
            rect(LEFT, y, x(middle) - LEFT, ROW - 4, COLOURS[way]),
            line(x(ratios[0]), y + 6, x(ratios[-1]), y + 6, "#222"),
            text(x(max(ratios[-1], middle)) + 4, y + 11, f"{middle:.2f}", "start"),
        ]
    parts.append(line(x(1), TOP - 6, x(1), height - 8, "#222"))
    return document(WIDTH, height, parts)


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """Render rows, the first of which are the titles."""
    titles, *others = rows
    lines = [titles, ["---"] * len(titles), *others]
    return "".join(f"| {' | '.join(each)} |\n" for each in lines)


def machine() -> Mapping[str, str]:
    """Return what this was run on."""
    return {
        "cores": f"{os.cpu_count()} ({platform.machine()})",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
    }


def _page(table: Table, figures: Sequence[Figure], *, rounds: int, seconds: float, load: float) -> str:
    where = ", ".join(f"{name} {value}" for name, value in machine().items())
    rows = [COLUMNS, *(row(*each) for each in table)]
    return f"""# Beside a peer

Written by `make bench` on a machine with {where},
whose load average was {load:.1f} before it began.

The peer in `benchmarks/peers` is what one would write with FastAPI, uvicorn (uvloop, httptools), PyJWT with cached
keys, aiohttp with mutual TLS, and SQLite that waits for the disk. It takes the same token and does less: no journal, so
that a crash between stock and order loses goods, no owners, versions or keys of idempotency, and no gateway. Here all
of that is on. Both have a process for each service, and share the machine with the one that drives them (wrk, one
thread, TLS connections that stay open).

Each row is the median of {rounds} rounds of {seconds:g} s, in which ours and the peer took turns; a ratio is of two
rounds that followed each other, so what else the machine did meets both. Any error or unexpected status would have
voided the run. `gateway` is a request with an opaque token through the gateway to the order service, beside a peer that
has none. CPU is that of all processes of a side, for one request. `mixed` is 70 reads, 20 creates, 7 updates and 3
cancels of 100.

[What was aimed at, and what is short](performance-goals.md) says why.

![Requests per second, to the peer's](img/performance.svg)

{markdown(rows)}
## Other figures

{markdown([("figure", "value"), *figures]) if figures else "Not measured in this run."}
What a request costs in function calls, which is the same on every machine, says `make bench-calls`; a test holds it.
`make profile` draws where the time of a service goes.
"""
