"""Connections are open files."""

from __future__ import annotations

from ordermgmt.net.open_files import RESERVE, limit_connections


def test_connections_leave_files_for_the_rest() -> None:
    assert limit_connections(6000, 20_000) == 6000
    assert limit_connections(6000, 1024) == 1024 - RESERVE
    assert limit_connections(6000, 100) == 1
