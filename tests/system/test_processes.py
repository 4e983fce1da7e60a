"""The suite with each service as a process of its own: the same suite, but what ends one of them ends only that one."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.system.processes import (
    PATIENCE,
    SuiteProcess,
    connect,
    is_refused,
    is_running,
    run_module,
    suite,
    wait_until,
)

SERVICES = ["sts", "inventory", "order", "gateway"]
GONE_WITHIN = 2.0
"""Seconds that children may outlive their supervisor."""


def pids(running: SuiteProcess) -> dict[str, int]:
    """The process of each service, as /readyz has it."""
    return {name: one["pid"] for name, one in json.loads(running.readiness())["services"].items()}


def restarts(running: SuiteProcess) -> dict[str, int]:
    return {name: one["restarts"] for name, one in json.loads(running.readiness())["services"].items()}


def kill(running: SuiteProcess, service: str) -> int:
    """Kill a service's process and wait for the next one; return its pid."""
    before = pids(running)[service]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: pids(running)[service] not in {before, None} and running.is_ready(), "the restart")
    return pids(running)[service]


def events(log: str, event: str) -> list[str]:
    """The services of which the log tells an event, in order."""
    return re.findall(rf"(?m)^\S+ info (\w+) {event}$", log)


def test_one_that_is_killed_comes_back_and_the_others_never_notice(tmp_path: Path) -> None:
    with suite(tmp_path, "--processes") as running:
        before = pids(running)
        assert list(before) == SERVICES
        assert len({running.process.pid, *before.values()}) == 5
        assert {name: running.pids[name] for name in SERVICES} == before
        assert running.pids["admin"] == running.process.pid
        assert running.script("demo.sh").returncode == 0

        after = before | {service: kill(running, service) for service in ("order", "sts")}
        assert pids(running) == after
        assert restarts(running) == {"sts": 1, "inventory": 0, "order": 1, "gateway": 0}
        done = running.script("demo.sh")
        assert done.returncode == 0, done.stdout + done.stderr + running.log

        # as a service manager does, to every process that it knows
        for pid in after.values():
            os.kill(pid, signal.SIGTERM)
        assert running.stop() == 0
        log = running.log
    assert events(log, "draining") == events(log, "stopped") == SERVICES[::-1]
    assert f'reason="its process {before["order"]} was ended by SIGKILL"' in log
    assert log.count(" crashed ") == 2
    assert all(is_refused(port) for port in running.ports.values())
    assert not any(map(is_running, after.values()))


def test_children_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with suite(tmp_path, "--processes", "sts", "inventory") as running:
        children = pids(running).values()
        begin = time.monotonic()
        assert running.stop(signal.SIGKILL) == -signal.SIGKILL
        wait_until(lambda: not any(map(is_running, children)), "the end of the children")
        assert time.monotonic() - begin < GONE_WITHIN
        assert len(children) == 2
    assert all(is_refused(port) for port in running.ports.values())


def test_a_terminals_ctrl_c_drains_and_the_second_one_ends_at_once(tmp_path: Path) -> None:
    with suite(tmp_path, "--processes", "sts", changes={"ORDERMGMT_SUITE_DRAIN": "1000"}) as running:
        (child,) = pids(running).values()
        with connect(running, "sts") as connection:
            connection.sendall(b"GET /oauth2/jwks HTTP/1.1\r\n")
            # an answer from the same loop: by now the half request has been read
            assert running.is_ready()
            os.killpg(running.process.pid, signal.SIGINT)
            wait_until(lambda: running.is_draining("sts"), "the drain")
            assert is_running(child)
            begin = time.monotonic()
            os.killpg(running.process.pid, signal.SIGINT)
            assert running.process.wait(PATIENCE) == 130
            assert time.monotonic() - begin < GONE_WITHIN
        assert not is_running(child)
    assert "Traceback" not in running.log


def test_the_guide_is_replayed_letter_for_letter(tmp_path: Path) -> None:
    with suite(tmp_path, "--guide", "--processes") as running:
        done = running.script("guide.sh", data="var/guide")
        assert done.returncode == 0, done.stdout + done.stderr + running.log
        assert running.stop() == 0


@pytest.mark.parametrize("service", ["sts"])
def test_a_start_that_cannot_go_well_is_told_in_one_line_and_not_tried_again(service: str, tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    database = tmp_path / "var" / f"{service}.sqlite"
    database.write_bytes(os.urandom(8192))
    database.chmod(0o600)
    done = run_module(tmp_path, "run", "--processes", service)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line for line in lines if " info " not in line] == lines[-1:], done.stderr
    assert lines[-1].startswith(f"Error: {service} cannot start: cannot use the database var/{service}.sqlite")
    assert events(done.stderr, "starting") == [service]
