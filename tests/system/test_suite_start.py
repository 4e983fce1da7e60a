"""From an empty folder to a suite that serves, and again from the folder that it left."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest

from ordermgmt.system import service_names
from tests.system.processes import suite

pytestmark = pytest.mark.serial

SERVICES = service_names()
READY_WITHIN = 2.0
"""Seconds from exec to /readyz, on a second start."""
ATTEMPTS = 3
"""The machine may be busy with something else, so the best of these counts."""


def modes(folder: Path, pattern: str) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob(pattern)}


def seconds_to_ready(folder: Path) -> float:
    begin = time.monotonic()
    with suite(folder) as started:
        seconds = time.monotonic() - begin
        assert started.stop() == 0
    return seconds


def test_first_start_makes_everything_and_the_second_one_finds_it(tmp_path: Path) -> None:
    with suite(tmp_path) as first:
        assert set(first.ports) == {"admin", "sts_mtls", *SERVICES}
        assert modes(tmp_path / "certs", "*.key") == {f"{name}.key": 0o600 for name in ["ca", *SERVICES]}
        assert set(modes(tmp_path / "certs", "*.pem")) == {f"{name}.pem" for name in ["ca", *SERVICES]}
        data = modes(tmp_path / "var", "*")
        assert {"demo-credentials", "sts.sqlite", "order.sqlite", "inventory.sqlite"} <= data.keys()
        assert set(data.values()) == {0o600}
        assert first.stop() == 0
    kept = {path: path.read_bytes() for path in [*(tmp_path / "certs").glob("*.*"), tmp_path / "var/demo-credentials"]}

    measured: list[float] = []
    while not measured or (min(measured) >= READY_WITHIN and len(measured) < ATTEMPTS):
        measured.append(seconds_to_ready(tmp_path))
    assert min(measured) < READY_WITHIN, measured
    assert {path: path.read_bytes() for path in kept} == kept


def test_under_a_pipe_the_table_is_plain_lines(tmp_path: Path) -> None:
    with suite(tmp_path) as started:
        ports = started.ports
        assert started.stop() == 0
    assert started.output.isascii()
    assert "\x1b" not in started.output + started.log
    made, _, table = started.output.partition("service ")
    assert [line.split(":")[0] for line in made.splitlines()] == [f"certs/{name}.pem" for name in ["ca", *SERVICES]]
    lines = table.splitlines()
    assert lines[0].split() == ["address", "state", "pid", "certificate"]
    assert lines[1].split() == ["admin", f"127.0.0.1:{ports['admin']}", "running", str(started.process.pid), "none"]
    rows = lines[2 : 3 + len(SERVICES)]
    assert [line.split()[0] for line in rows] == ["sts", *SERVICES]
    assert all(line.endswith(f" running  {started.process.pid}  89 days left") for line in rows)
    assert f"try:   curl --cacert certs/ca.pem https://localhost:{ports['gateway']}/inventory" in lines
