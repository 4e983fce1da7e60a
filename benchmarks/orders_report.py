"""The report of benchmarks.orders: a page with a table for each database, and a plot."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from benchmarks.svg import document, line, rect, text

__all__ = ["Level", "Round", "write_report"]

TITLES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
COLOURS = {"sqlite": "#2f6f9f", "postgres": "#c8742c"}
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 320, 60, 40, 30


@dataclass(frozen=True, slots=True)
class Round:
    """One round: orders per second, latencies in ms, cores that the clients took, and what an order cost."""

    per_second: float
    p50: float
    p99: float
    client_cpu: float
    order_commits: float
    inventory_commits: float
    hops: float


@dataclass(slots=True)
class Level:
    """All rounds of a number of clients."""

    COLUMNS: ClassVar[Sequence[str]] = (
        "clients", "orders/s", "(lowest to highest)", "p50 ms", "p99 ms", "commits of order", "commits of inventory",
        "hops", "client cores",
    )  # fmt: skip

    clients: int
    rounds: list[Round] = field(default_factory=list)

    @property
    def spread(self) -> tuple[float, float, float]:
        """The lowest, median and highest orders per second."""
        found = sorted(one.per_second for one in self.rounds)
        return found[0], statistics.median(found), found[-1]

    def row(self) -> list[str]:
        """Return one cell for each of COLUMNS: medians, but for the spread."""
        low, middle, high = self.spread

        def median(name: str) -> float:
            return float(statistics.median(getattr(one, name) for one in self.rounds))

        return [
            str(self.clients), f"{middle:.0f}", f"{low:.0f} to {high:.0f}", f"{median('p50'):.1f}",
            f"{median('p99'):.1f}", f"{median('order_commits'):.2f}", f"{median('inventory_commits'):.2f}",
            f"{median('hops'):.2f}", f"{median('client_cpu'):.2f}",
        ]  # fmt: skip


def write_report(
    docs: Path, found: Mapping[str, Sequence[Level]], *, rounds: int, seconds: float, load: float
) -> list[Path]:
    """Write the page and its plot below `docs`; return their paths. `load` is the machine's own, before the run."""
    page, image = docs / "performance-orders.md", docs / "img" / "orders.svg"
    image.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(_page(found, rounds=rounds, seconds=seconds, load=load), encoding="utf-8")
    image.write_text(plot(found), encoding="utf-8")
    return [page, image]


def _page(found: Mapping[str, Sequence[Level]], *, rounds: int, seconds: float, load: float) -> str:
    machine = (
        f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}"
    )
    parts = [
        f"""# What an order costs

Written by `make bench-orders` on {machine},
while the machine's load average was {load:.1f} before it began.

An order is a `POST /order` of one item over a TLS connection that stays open: its JWT is verified, the intent
committed, the goods taken at inventory over mTLS with a bound token, and the outcome committed. All clients order the
same item. Each service is a process (`--processes`), and so are the clients, which share the cores with them. Each
figure is the median of {rounds} rounds of {seconds:g} s after a warm-up; the numbers of clients took turns. Any answer
but 201 would have voided the run.

Commits and hops are per order, as the services count them in `/metrics`. They fall as load rises: transactions that
wait share a commit, operations that wait share a request to inventory.

![Orders per second by number of clients](img/orders.svg)
""",
    ]
    for database, levels in found.items():
        rows = [Level.COLUMNS, ["---:"] * len(Level.COLUMNS), *(level.row() for level in levels)]
        parts.append(f"## {TITLES[database]}\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows))
    return "\n".join(parts)


def plot(found: Mapping[str, Sequence[Level]]) -> str:
    """Draw bars of the median orders per second, with a line from the lowest to the highest round, as SVG."""
    highest = max(level.spread[2] for levels in found.values() for level in levels)
    step = next(step for step in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if highest / step <= 8)
    top = step * (int(highest / step) + 1)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP)

    parts = []
    for tick in range(0, top + 1, step):
        parts.append(line(LEFT, y(tick), WIDTH, y(tick), "#ccc"))
        parts.append(text(LEFT - 8, y(tick) + 4, str(tick), "end"))
    clients = [level.clients for level in next(iter(found.values()))]
    slot = (WIDTH - LEFT) / len(clients)
    bar = slot * 0.7 / len(found)
    for place, (database, levels) in enumerate(found.items()):
        for number, level in enumerate(levels):
            low, middle, high = level.spread
            x = LEFT + slot * number + slot * 0.15 + bar * place
            parts.append(rect(x, y(middle), bar * 0.92, y(0) - y(middle), COLOURS[database]))
            centre = x + bar * 0.46
            parts.append(line(centre, y(low), centre, y(high), "#222"))
            parts.append(text(centre, y(high) - 5, f"{middle:.0f}", "middle"))
        parts.append(rect(LEFT + 8 + 110 * place, 6, 12, 12, COLOURS[database]))
        parts.append(text(LEFT + 26 + 110 * place, 16, TITLES[database], "start"))
    for number, count in enumerate(clients):
        parts.append(text(LEFT + slot * (number + 0.5), HEIGHT - 20, f"{count} client{'s' * (count > 1)}", "middle"))
    parts.append(text(WIDTH, 16, "orders per second", "end"))
    return document(WIDTH, HEIGHT, parts)
