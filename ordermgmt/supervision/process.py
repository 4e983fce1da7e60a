"""A supervised child that is a process of its own: what the supervisor's side of it does.

`ordermgmt.supervision.worker` is the other side.
"""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import trio

from ordermgmt.supervision.bells import Bell, Bells
from ordermgmt.supervision.child import Crashed
from ordermgmt.supervision.control import (
    Channel,
    Check,
    Checked,
    Command,
    ControlError,
    Drain,
    Failed,
    Measure,
    Measured,
    Ready,
    Reload,
    Report,
    Start,
    supervisor_end,
)
from ordermgmt.supervision.health import Board
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.telemetry.metrics import Figure

__all__ = ["ChildProcess", "Program"]

KILL_SECONDS = 2.0
"""What the kernel may take to end a process that is killed: normally no time at all."""
OUTBOX = 6
"""Commands on their way to a child: the start, one question of each kind, the drain, a reload of either kind."""
STANDARD_ERROR = 2


@dataclass(frozen=True, slots=True)
class Program:
    """What a child executes.

    The number of its end of the control channel is appended to `arguments`. `descriptors` are open files of this
    process that it inherits under the same numbers, besides standard error; they stay this process's to close.
    """

    arguments: Sequence[str]
    assignment: msgspec.Raw
    descriptors: Sequence[int] = ()
    environment: Mapping[str, str] | None = None


@dataclass(slots=True)
class _Question:
    answered: trio.Event = field(default_factory=trio.Event)
    answer: Checked | Measured | None = None


@dataclass(slots=True)
class _Story:
    """What a process told of itself; `reason` is why it failed, if it said so."""

    ready: bool = False
    reason: str | None = None


class ChildProcess:
    """One service as a child process: `run` is what a `Child` runs, each time in a new process.

    What rings in `bells` is told to it. `grace` is how many seconds it may take to end once it has said that it does;
    after that it is killed.
    """

    def __init__(
        self, name: str, program: Program, board: Board, *, bells: Bells | None = None, grace: float = 2.0
    ) -> None:
        self._name = name
        self._program = program
        self._board = board
        self._bells = bells or Bells()
        self._grace = grace
        self._outbox: trio.MemorySendChannel[Command] | None = None
        self._questions: dict[type[Command], _Question] = {}

    async def run(self, drain: trio.Event, /, *, task_status: trio.TaskStatus[None]) -> None:
        """Run the program until it ends; `started()` when it is ready. See `Run`.

        Raises Crashed with its own reason, or how its process ended. Nothing of the process is left when this
        returns: a cancellation kills it.
        """
        ours, theirs = socket.socketpair()
        async with supervisor_end(ours) as channel:
            with theirs:
                process = await self._spawn(theirs)
            self._board.record_process(self._name, process.pid)
            try:
                story = await self._converse(channel, process.pid, drain, task_status)
                with trio.move_on_after(self._grace):
                    await process.wait()
            finally:
                self._board.record_process(self._name, None)
                await _end(process)  # noqa: ASYNC102 - shielded and bounded inside
        reason = story.reason or _how_it_ended(process, ready=story.ready)
        if reason is not None:
            raise Crashed(reason)

    async def unready_reason(self) -> str | None:
        """Ask the process whether it can do its work: None, or why not. Cancel-safe; the caller sets the time limit."""
        if self._outbox is None:
            return "it has no process"
        answer = await self._ask(Check())
        return answer.reason if isinstance(answer, Checked) else "its process ended"

    async def figures(self) -> Sequence[Figure]:
        """Ask the process for its figures: none without one. Cancel-safe; the caller sets the time limit."""
        answer = await self._ask(Measure())
        return answer.figures if isinstance(answer, Measured) else ()

    async def _ask(self, command: Check | Measure) -> Checked | Measured | None:
        """Ask, together with all who ask the same now. None if there is no process, or it ends before it answers."""
        if self._outbox is None:
            return None
        kind = type(command)
        if kind not in self._questions:
            self._questions[kind] = _Question()
            self._outbox.send_nowait(command)
        question = self._questions[kind]
        await question.answered.wait()
        return question.answer

    async def _spawn(self, control: socket.socket) -> trio.Process:
        program = self._program
        try:
            return await trio.lowlevel.open_process(
                [*program.arguments, str(control.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=STANDARD_ERROR,  # standard output is the supervisor's alone
                pass_fds=[control.fileno(), *program.descriptors],
                # a terminal's Ctrl-C goes to its whole process group, but it is the supervisor that drains in order
                start_new_session=True,
                env=program.environment,
            )
        except OSError as error:
            msg = f"cannot start a process: {error.strerror}"
            raise Crashed(msg) from error

    async def _converse(
        self, channel: Channel[Command, Report], pid: int, drain: trio.Event, task_status: trio.TaskStatus[None]
    ) -> _Story:
        """Talk with the child until it is gone or says that it fails."""
        self._outbox, commands = trio.open_memory_channel[Command](OUTBOX)
        self._outbox.send_nowait(Start(self._program.assignment))
        story = _Story()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send_all, commands, channel)
            nursery.start_soon(_send_when, drain, Drain(), self._outbox)
            nursery.start_soon(_send_at_every, self._bells.certificates, Reload("certificates"), self._outbox)
            nursery.start_soon(_send_at_every, self._bells.signing_keys, Reload("signing_keys"), self._outbox)
            try:
                while story.reason is None and (report := await channel.receive()) is not None:
                    self._hear(report, story, pid, task_status)
            except ControlError as error:
                story.reason = str(error)
            finally:
                self._outbox = None
                for kind in list(self._questions):
                    self._answer(kind, None)
            nursery.cancel_scope.cancel()
        return story

    def _hear(self, report: Report, story: _Story, pid: int, task_status: trio.TaskStatus[None]) -> None:
        match report:
            case Ready(addresses) if not story.ready:
                story.ready = True
                get_logger(self._name).info("serving", pid=pid, addresses=",".join(addresses))
                task_status.started()
            case Ready():
                story.reason = "said twice that it is ready"
            case Checked():
                self._answer(Check, report)
            case Measured():
                self._answer(Measure, report)
            case Failed(reason):
                story.reason = reason

    def _answer(self, kind: type[Command], answer: Checked | Measured | None) -> None:
        question = self._questions.pop(kind, None)
        if question is not None:
            question.answer = answer
            question.answered.set()


async def _send_all(commands: trio.MemoryReceiveChannel[Command], channel: Channel[Command, Report]) -> None:
    async for command in commands:
        await channel.send(command)


async def _send_when(event: trio.Event, command: Command, outbox: trio.MemorySendChannel[Command]) -> None:
    await event.wait()
    await outbox.send(command)


async def _send_at_every(bell: Bell, command: Command, outbox: trio.MemorySendChannel[Command]) -> None:
    heard = bell.rings
    while True:
        heard = await bell.hear(heard)
        await outbox.send(command)


async def _end(process: trio.Process) -> None:
    """Kill the process if it is still there, and wait for the kernel to say so."""
    process.kill()
    with trio.move_on_after(KILL_SECONDS, shield=True):
        await process.wait()


def _how_it_ended(process: trio.Process, *, ready: bool) -> str | None:
    """Describe the end of a process that said nothing; None if it ended well."""
    status = process.returncode
    if status is None:
        return f"its process {process.pid} cannot be killed"
    if status == 0 and ready:
        return None
    how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    return f"its process {process.pid} {how}" + ("" if ready else " before it was ready")
