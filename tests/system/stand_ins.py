"""Small programs in the place of services, under the real supervisor: each is a process that does as it is told."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec
import trio

from ordermgmt.supervision.child import Child
from ordermgmt.supervision.health import Board, State
from ordermgmt.supervision.policy import RestartPolicy
from ordermgmt.supervision.process import ChildProcess, Program
from ordermgmt.supervision.tree import supervise
from tests.system.processes import PATIENCE

PROGRAM = """
import json, os, signal, socket, sys, time

manner, control = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
lines = control.makefile()

def say(kind, **values):
    control.sendall(json.dumps({"type": kind, **values}).encode() + b"\\n")

start = json.loads(lines.readline())
assert start["type"] == "start"
if manner == "refuses":
    say("failed", reason="no such database")
    time.sleep(1000)
if manner == "exits":
    sys.exit(3)
if manner == "babbles":
    control.sendall(b"hello\\n")
if manner == "floods":
    control.sendall(b"x" * 600_000)
if manner == "opens":
    time.sleep(1000)
descriptors = [str(fd) for fd in range(64) if os.path.exists(f"/dev/fd/{fd}")] if manner == "lists" else []
say("ready", addresses=[start["assignment"], *descriptors])
if manner == "repeats":
    say("ready", addresses=[])
if manner == "crashes":
    os.kill(os.getpid(), signal.SIGKILL)
for command in map(json.loads, lines):
    if command["type"] == "check":
        if manner == "dies":
            break
        say("checked", reason="no keys" if manner == "sick" else None)
    if command["type"] == "drain":
        if manner == "hangs":
            time.sleep(1000)
        sys.exit(4 if manner == "trips" else 0)
"""


class StandIns:
    """Children by name, each a stand-in of a manner, under the real supervisor."""

    def __init__(self, policy: RestartPolicy | None = None, drain: float = PATIENCE, **manners: str) -> None:
        self.board = Board(manners)
        self.stop = trio.Event()
        self.children = {name: self._child(name, manner) for name, manner in manners.items()}
        self._policy = policy or RestartPolicy(first_delay=0.01)
        self._drain = drain

    def _child(self, name: str, manner: str, descriptors: Sequence[int] = ()) -> ChildProcess:
        arguments = [sys.executable, "-I", "-S", "-c", PROGRAM, manner]
        return ChildProcess(name, Program(arguments, msgspec.Raw(b'"do it"'), descriptors), self.board, grace=0.1)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run them until `stop` is set."""
        await supervise(
            [Child(name, child.run) for name, child in self.children.items()],
            policy=self._policy,
            board=self.board,
            stop=self.stop,
            drain_deadline=self._drain,
            task_status=task_status,
        )

    @property
    def pids(self) -> dict[str, int | None]:
        """The processes as the board has them."""
        return {name: health.pid for name, health in self.board.snapshot().items()}

    async def until(self, name: str, state: State, *, restarts: int = 0) -> int | None:
        """Wait for a state of a child that was restarted so often; return its process."""
        with trio.fail_after(PATIENCE):
            seen = self.board.snapshot()
            while seen[name].state is not state or seen[name].restarts < restarts:
                seen = await self.board.newer(seen)
        return seen[name].pid
