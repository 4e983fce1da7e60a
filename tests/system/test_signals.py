"""A small supervised program, signalled by the operating system."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 20
"""Seconds after which a program that should have ended has failed the test; normally it takes far less than one."""

PROGRAM = """
import sys
import trio
from ordermgmt.supervision.child import Child, ServiceFailed
from ordermgmt.supervision.health import Board
from ordermgmt.supervision.policy import RestartPolicy
from ordermgmt.supervision.signals import watch
from ordermgmt.supervision.tree import supervise

DRAIN, DEADLINE = map(float, sys.argv[1:3])
STUBBORN = sys.argv[3] == "stubborn"

def say(text):
    print(text, flush=True)

def service(name):
    async def run(drain, *, task_status):
        task_status.started()
        await drain.wait()
        say(f"{name} draining")
        with trio.CancelScope(shield=STUBBORN):
            await trio.sleep(DRAIN)
        say(f"{name} drained")
    return Child(name, run)

async def main():
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(watch, stop, nursery.cancel_scope, lambda: say("reloading"))
        async with trio.open_nursery() as suite:
            async def run(*, task_status):
                await supervise(
                    [service("first"), service("second")],
                    policy=RestartPolicy(), board=Board(["first", "second"]), stop=stop,
                    drain_deadline=DEADLINE, task_status=task_status,
                )
            await suite.start(run)
            say("ready")
        nursery.cancel_scope.cancel()
        return 0
    return 3

try:
    sys.exit(trio.run(main))
except* ServiceFailed as group:
    say(str(group.exceptions))
    sys.exit(4)
"""


@contextmanager
def program(drain: float, deadline: float, manner: str = "gentle") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM, str(drain), str(deadline), manner]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            expect(process, "ready")
            yield process
        finally:
            process.kill()


def expect(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == f"{line}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_drains_in_reverse_order_and_exits_zero(number: signal.Signals) -> None:
    with program(drain=0.05, deadline=PATIENCE) as process:
        process.send_signal(number)
        output, log = process.communicate(timeout=PATIENCE)
    assert output.splitlines() == ["second draining", "second drained", "first draining", "first drained"]
    assert process.returncode == 0
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("first", "second"),
    [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)],
)
def test_second_signal_ends_at_once_without_a_traceback(first: signal.Signals, second: signal.Signals) -> None:
    with program(drain=1000, deadline=1000) as process:
        process.send_signal(first)
        expect(process, "second draining")
        process.send_signal(second)
        output, log = process.communicate(timeout=PATIENCE)
    assert output == ""
    assert process.returncode == 3
    assert "Traceback" not in log
    assert "KeyboardInterrupt" not in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_third_signal_ends_even_what_cannot_be_cancelled(number: signal.Signals) -> None:
    with program(drain=1000, deadline=1000, manner="stubborn") as process:
        process.send_signal(number)
        expect(process, "second draining")
        process.send_signal(number)
        assert process.stderr is not None
        while "cut off" not in process.stderr.readline() and process.poll() is None:
            pass
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == -number


def test_what_does_not_drain_in_time_is_cut_off_and_the_exit_status_tells() -> None:
    with program(drain=1000, deadline=0.1) as process:
        process.send_signal(signal.SIGTERM)
        output, log = process.communicate(timeout=PATIENCE)
    assert "second did not drain in time and was cut off" in output
    assert process.returncode == 4
    assert '"level":"error","service":"first","event":"failed"' in log


def test_hangup_reloads_as_often_as_it_comes_and_ends_nothing() -> None:
    with program(drain=0, deadline=PATIENCE) as process:
        for _ in range(2):
            process.send_signal(signal.SIGHUP)
            expect(process, "reloading")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
