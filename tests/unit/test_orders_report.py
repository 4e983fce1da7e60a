"""What the benchmark of orders writes down is what it measured."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.orders_report import COLOURS, Level, Round, write_report

SVG = "{http://www.w3.org/2000/svg}"


def level(clients: int, *per_second: float) -> Level:
    rounds = [Round(one, p50=1.0, p99=2.0, client_cpu=0.1, order_commits=2.0, inventory_commits=1.0, hops=1.0)
              for one in per_second]  # fmt: skip
    return Level(clients, rounds)


def test_a_row_holds_the_median_and_the_spread() -> None:
    row = level(8, 90.0, 400.0, 100.0).row()
    assert row == ["8", "100", "90 to 400", "1.0", "2.0", "2.00", "1.00", "1.00", "0.10"]
    assert len(row) == len(Level.COLUMNS)


def test_page_and_plot(tmp_path: Path) -> None:
    found = {"sqlite": [level(1, 50.0), level(8, 200.0)], "postgres": [level(1, 100.0), level(8, 100.0)]}
    page, image = write_report(tmp_path, found, rounds=1, seconds=2.5, load=0.4)
    text = page.read_text()
    assert "| 8 | 200 | 200 to 200 |" in text
    assert "load average was 0.4" in text
    assert (page.parent / "img" / "orders.svg") == image
    tree = ET.fromstring(image.read_text())  # noqa: S314 - our own
    bars = [one for one in tree.iter(f"{SVG}rect") if one.get("y") != "6.0"][1:]
    assert [bar.get("fill") for bar in bars] == [COLOURS["sqlite"]] * 2 + [COLOURS["postgres"]] * 2
    small, large, *others = (float(str(bar.get("height"))) for bar in bars)
    assert abs(large - 4 * small) < 0.2
    assert others[0] == others[1]
