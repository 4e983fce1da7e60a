"""The suite with each service as a process of its own: the same suite, but what ends one of them ends only that one."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import time
from pathlib import Path

import pytest

from tests.log_lines import select
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


def kill(running: SuiteProcess, *services: str) -> dict[str, int]:
    """Kill the processes of some services, wait until others do their work; return all as they are then."""
    before = pids(running)
    for service in services:
        os.kill(before[service], signal.SIGKILL)

    def others_are_ready() -> bool:
        after = pids(running)
        return running.is_ready() and not any(after[service] == before[service] for service in services)

    wait_until(others_are_ready, "the restart")
    return pids(running)


def begin_request(running: SuiteProcess, connection: ssl.SSLSocket) -> bytes:
    """Send the STS a request for a token but for its end, which is returned. Its answer will be 401."""
    body = b"grant_type=client_credentials&client_id=nobody&client_secret=none"
    head = f"POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    form = "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    connection.sendall(f"{head}{form}".encode() + body[:20])
    # an answer from the same loop: by now this has been read
    assert running.is_ready()
    return body[20:]


def events(log: str, event: str) -> list[str]:
    """The services of which the log tells an event, in order."""
    return [line["service"] for line in select(log, event, level="info")]


@pytest.mark.slow
def test_one_that_is_killed_comes_back_and_the_others_never_notice(tmp_path: Path) -> None:
    with suite(tmp_path, "--processes") as running:
        before = pids(running)
        assert list(before) == SERVICES
        assert len({running.process.pid, *before.values()}) == 5
        assert {name: running.pids[name] for name in SERVICES} == before
        assert running.pids["admin"] == running.process.pid

        after = kill(running, "order", "sts")
        assert {name: after[name] for name in ("inventory", "gateway")} == {
            name: before[name] for name in ("inventory", "gateway")
        }
        assert not {after["order"], after["sts"]} & {None, *before.values()}
        assert restarts(running) == {"sts": 1, "inventory": 0, "order": 1, "gateway": 0}
        done = running.script("demo.sh")
        assert done.returncode == 0, done.stdout + done.stderr + running.log

        with connect(running, "sts") as connection:
            rest = begin_request(running, connection)
            # as a service manager does, to every process that it knows
            for pid in [*after.values(), running.process.pid]:
                os.kill(pid, signal.SIGTERM)
            wait_until(lambda: running.is_draining("sts"), "the drain")
            connection.sendall(rest)
            assert connection.recv(4096).startswith(b"HTTP/1.1 401 Unauthorized\r\n")
        assert running.process.wait(PATIENCE) == 0
        log = running.log
    assert events(log, "draining") == events(log, "stopped") == SERVICES[::-1]
    assert select(log, "crashed", reason=f"its process {before['order']} was ended by SIGKILL")
    assert len(select(log, "crashed")) == 2
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
            begin_request(running, connection)
            os.killpg(running.process.pid, signal.SIGINT)
            wait_until(lambda: running.is_draining("sts"), "the drain")
            assert is_running(child)
            begin = time.monotonic()
            os.killpg(running.process.pid, signal.SIGINT)
            assert running.process.wait(PATIENCE) == 130
            assert time.monotonic() - begin < GONE_WITHIN
        assert not is_running(child)
    assert "Traceback" not in running.log


@pytest.mark.slow
def test_one_that_keeps_crashing_ends_the_suite(tmp_path: Path) -> None:
    with suite(tmp_path, "--processes", "sts") as running:
        killed: set[int] = set()

        def is_over() -> bool:
            if running.process.poll() is not None:
                return True
            answer = running.readiness()
            pid = json.loads(answer)["services"]["sts"]["pid"] if answer else None
            if pid is not None and pid not in killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            return False

        wait_until(is_over, "the end")
        assert running.process.returncode == 1
        last = running.log.splitlines()[-1]
    assert re.fullmatch(r"Error: sts failed 6 times in 60 s, last: its process \d+ was ended by SIGKILL.*", last)
    assert len(killed) == 6
    assert not any(map(is_running, killed))


@pytest.mark.slow
def test_the_guide_is_replayed(tmp_path: Path) -> None:
    with suite(tmp_path, "--guide", "--processes") as running:
        done = running.script("guide.sh", running.url("order"))
        assert done.returncode == 0, done.stdout + done.stderr + running.log
        assert running.stop() == 0


def test_a_start_that_cannot_go_well_is_told_in_one_line_and_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    database = tmp_path / "var" / "sts.sqlite"
    database.write_bytes(os.urandom(8192))
    database.chmod(0o600)
    done = run_module(tmp_path, "run", "--processes", "sts")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line for line in lines if '"level":"info"' not in line] == lines[-1:], done.stderr
    assert lines[-1].startswith("Error: sts cannot start: cannot use the database var/sts.sqlite")
    assert events(done.stderr, "starting") == ["sts"]
