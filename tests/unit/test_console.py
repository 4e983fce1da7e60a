"""The table that is shown when the suite is up."""

from __future__ import annotations

import io

import pytest

from ordermgmt.telemetry.console import ServiceRow, show_startup


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_start_up_table_is_aligned_under_a_pipe() -> None:
    stream = io.StringIO()
    rows = [
        ServiceRow("sts", "https://localhost:9445", "running", 4711, 30),
        ServiceRow("admin", "http://127.0.0.1:9400", "running", None, None),
    ]
    show_startup(stream, rows, ["curl https://localhost:8443/order"])
    assert stream.getvalue().splitlines() == [
        "service  address                 state    pid   certificate",
        "sts      https://localhost:9445  running  4711  30 days left",
        "admin    http://127.0.0.1:9400   running  none  none",
        "",
        "curl https://localhost:8443/order",
    ]


def test_start_up_table_on_a_terminal_takes_values_literally_and_never_wraps_hints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    hint = "curl " + "x" * 200
    show_startup(stream, [ServiceRow("sts", "[red]:9445", "running", None, 1)], [hint])
    assert "[red]:9445" in stream.getvalue()
    assert "1 day left" in stream.getvalue()
    assert hint in stream.getvalue().splitlines()
