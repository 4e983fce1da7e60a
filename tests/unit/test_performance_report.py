"""What the benchmark beside a peer writes down is what it measured."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.performance_report import COLOURS, COLUMNS, compare, row, write_report
from benchmarks.rounds import Cell, Round

SVG = "{http://www.w3.org/2000/svg}"
CREATE, GET = Cell("create", 32), Cell("get", 1)


def measured(subject: str, cell: Cell, per_second: float) -> Round:
    return Round(subject, cell, per_second=per_second, p50=1.0, p99=2.0, cpu=3.0)


ROUNDS = [
    measured("direct", CREATE, 100.0),
    measured("peer", CREATE, 50.0),
    measured("peer", CREATE, 100.0),
    measured("direct", CREATE, 900.0),
    measured("gateway", CREATE, 40.0),
    measured("peer", CREATE, 100.0),
    measured("direct", CREATE, 300.0),
    measured("direct", GET, 10.0),
]


def test_a_ratio_is_of_rounds_that_followed_each_other() -> None:
    (direct, gateway) = compare(ROUNDS)
    assert row(*direct)[:7] == ["create", "32", "direct", "300", "100", "3.00", "2.00 to 9.00"]
    assert row(*gateway)[2:7] == ["gateway", "40", "50", "0.80", "0.80 to 0.80"]
    assert len(row(*direct)) == len(COLUMNS)


def test_what_has_no_peer_beside_it_is_left_out() -> None:
    assert [cell for cell, _, _ in compare(ROUNDS)] == [CREATE, CREATE]


def test_page_and_plot(tmp_path: Path) -> None:
    page, image = write_report(tmp_path, compare(ROUNDS), [("drain", "0.1 s")], rounds=3, seconds=2, load=0.4)
    text = page.read_text()
    assert "| create | 32 | direct | 300 | 100 | 3.00 | 2.00 to 9.00 |" in text
    assert "| drain | 0.1 s |" in text
    assert "load average was 0.4" in text
    bars = [
        one
        for one in ET.fromstring(image.read_text()).iter(f"{SVG}rect")  # noqa: S314 - our own
        if one.get("fill") in COLOURS.values() and one.get("y") != "6.0"
    ]
    direct, gateway = (float(str(bar.get("width"))) for bar in bars)
    assert abs(direct / gateway - 3.0 / 0.8) < 0.01
