"""The child's side: a program that does as the supervisor says, and that never outlives it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.log_lines import select
from tests.system.processes import PATIENCE, ROOT, run_module

GONE_WITHIN = 2.0
"""Seconds that a child may outlive its supervisor."""

PROGRAM = """
import sys, time
import trio
from ordermgmt.errors import StartError
from ordermgmt.supervision.worker import work
from ordermgmt.telemetry.metrics import Figure

async def run(assignment, drain, probes, bells, *, task_status):
    manner = assignment.decode().strip('"')
    if manner == "refuses":
        raise StartError("no such database")
    if manner == "breaks":
        raise ZeroDivisionError("one by none")
    async def check():
        if manner == "stuck":
            await trio.sleep(1000)
        if manner == "odd":
            raise OSError("odd")
        if manner == "hangs":
            time.sleep(1000)
        return "no keys"
    async def figures():
        await check()
        return [Figure("a_total", "counter", "As.", 3.0)]
    probes.checks["order"] = check
    probes.meters["order"] = figures
    task_status.started(["127.0.0.1:1", "127.0.0.1:2"])
    try:
        await drain.wait()
    except trio.Cancelled:
        print("cancelled", flush=True)
        raise
    print("drained", flush=True)

sys.exit(0 if trio.run(work, "order", int(sys.argv[1]), run) else 1)
"""


class Worker:
    """The program, and the supervisor's end of its channel."""

    def __init__(self, process: subprocess.Popen[str], control: socket.socket) -> None:
        self.process = process
        self.control = control
        self.reports = control.makefile()

    def command(self, line: str) -> None:
        self.control.sendall(f"{line}\n".encode())

    def start(self, manner: str) -> str:
        self.command(f'{{"type":"start","assignment":"{manner}"}}')
        return self.reports.readline()

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; return status, output and log."""
        output, log = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, output, log

    def hang_up(self) -> None:
        self.reports.close()
        self.control.close()


@contextmanager
def worker() -> Iterator[Worker]:
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE)
    with ours:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(theirs.fileno())], cwd=ROOT, pass_fds=[theirs.fileno()],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        with process:
            made = Worker(process, ours)
            try:
                yield made
            finally:
                process.kill()
                made.hang_up()


READY = '{"type":"ready","addresses":["127.0.0.1:1","127.0.0.1:2"]}\n'
MEASURE, CHECK, DRAIN = '{"type":"measure"}', '{"type":"check"}', '{"type":"drain"}'


def test_it_serves_answers_and_drains_whatever_signals_it_gets() -> None:
    with worker() as child:
        assert child.start("obeys") == READY
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) * 2:
            child.process.send_signal(number)
        child.command(CHECK)
        assert child.reports.readline() == '{"type":"checked","reason":"no keys"}\n'
        child.command(MEASURE)
        figure = '{"name":"a_total","kind":"counter","meaning":"As.","value":3.0}'
        assert child.reports.readline() == f'{{"type":"measured","figures":[{figure}]}}\n'
        child.command(DRAIN)
        assert child.end() == (0, "drained\n", "")
        assert child.reports.readline() == ""


@pytest.mark.parametrize(
    ("manner", "reason"),
    [("odd", "its readiness check failed: OSError: odd"), ("stuck", "its readiness check took longer than 1 s")],
)
def test_a_check_that_fails_is_an_answer(manner: str, reason: str) -> None:
    with worker() as child:
        assert child.start(manner) == READY
        child.command(CHECK)
        assert child.reports.readline() == f'{{"type":"checked","reason":"{reason}"}}\n'


@pytest.mark.parametrize("manner", ["odd", "stuck"])
def test_figures_that_cannot_be_read_are_none(manner: str) -> None:
    with worker() as child:
        assert child.start(manner) == READY
        child.command(MEASURE)
        assert child.reports.readline() == '{"type":"measured","figures":[]}\n'


def test_a_failure_that_explains_itself_is_told_and_not_logged() -> None:
    with worker() as child:
        assert child.start("refuses") == '{"type":"failed","reason":"no such database"}\n'
        assert child.end() == (1, "", "")


def test_any_other_failure_is_told_and_logged_with_its_traceback_under_its_name() -> None:
    with worker() as child:
        assert child.start("breaks") == '{"type":"failed","reason":"ZeroDivisionError: one by none"}\n'
        code, output, log = child.end()
    assert (code, output) == (1, "")
    (line,) = select(log, "crashed", level="error", service="order")
    assert line["exception"].lstrip().startswith("+ Exception Group Traceback")
    assert len(log.splitlines()) == 1


@pytest.mark.parametrize(("manner", "said"), [("obeys", "cancelled\n"), ("hangs", "")])
def test_without_its_supervisor_it_ends_even_if_its_loop_hangs(manner: str, said: str) -> None:
    with worker() as child:
        assert child.start(manner) == READY
        child.command(CHECK)
        child.hang_up()
        begin = time.monotonic()
        assert child.end() == (1, said, "")
        assert time.monotonic() - begin < GONE_WITHIN


def test_without_its_supervisor_it_does_not_start() -> None:
    with worker() as child:
        child.hang_up()
        assert child.end() == (1, "", "")


def test_by_hand_it_says_what_it_is_for() -> None:
    done = run_module(ROOT, "child", "order", "order-1", "99")
    assert done.returncode == 1
    assert done.stderr == "Error: this command is for `run --processes`, which starts it with a control channel\n"
