"""Each service, or each of its workers, as a process of its own, on the listening sockets of the supervisor's."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import trio

import ordermgmt
from ordermgmt.errors import StartError
from ordermgmt.net import TcpBinding, format_address
from ordermgmt.placement import Assignment, Part, run_service
from ordermgmt.runtime import Runtime
from ordermgmt.supervision.bells import Bells
from ordermgmt.supervision.child import Run
from ordermgmt.supervision.health import Probes
from ordermgmt.supervision.process import ChildProcess, Program
from ordermgmt.supervision.worker import Work
from ordermgmt.system import select
from ordermgmt.telemetry.metrics import Figure, Meter
from ordermgmt.telemetry.process import LoopWatch

__all__ = ["in_own_process", "work_with"]


class InheritedAssignment(msgspec.Struct, frozen=True):
    """What a child process is told. `sockets` are its listening sockets: descriptors by setting."""

    assignment: Assignment
    sockets: Mapping[str, int]


def in_own_process(part: Part) -> Run:
    """Run a service as a child process: `ordermgmt child SERVICE NAME`. A `Placement`; it needs real sockets."""
    name = part.name
    sockets = {key: _descriptor(binding) for key, binding in part.bindings.items()}
    program = Program(
        # -P: the working directory is no place for modules
        [sys.executable, "-P", "-m", "ordermgmt", "child", part.service.name, name],
        msgspec.Raw(msgspec.json.encode(InheritedAssignment(part.assignment, sockets))),
        descriptors=tuple(sockets.values()),
        environment=_environment(),
    )
    child = ChildProcess(name, program, part.board, bells=part.bells)
    part.probes.checks[name] = child.unready_reason
    part.probes.meters[name] = child.figures
    return child.run


def work_with(runtime: Runtime) -> Work:
    """Return what a child process does: it runs the service that it is assigned, in `runtime`."""

    async def work(
        assignment: bytes,
        drain: trio.Event,
        probes: Probes,
        bells: Bells,
        /,
        *,
        task_status: trio.TaskStatus[Sequence[str]],
    ) -> None:
        inherited = msgspec.json.decode(assignment, type=InheritedAssignment)
        assigned = inherited.assignment
        (service,) = select([assigned.service])
        with ExitStack() as stack:
            bindings = {
                key: _adopt(descriptor, stack, shared=assigned.workers > 1)
                for key, descriptor in inherited.sockets.items()
            }
            for key, binding in bindings.items():
                if binding.address != assigned.addresses[service.name][key]:
                    msg = f"{service.name}.{key} is bound to {format_address(binding.address)}, not as assigned"
                    raise StartError(msg)
            loop = stack.enter_context(LoopWatch())
            async with trio.open_nursery() as nursery:
                await nursery.start(run_service, service, assigned, runtime, bindings, probes, bells, drain)
                probes.meters[service.name] = _with_process(probes.meters[service.name], loop)
                task_status.started([format_address(binding.address) for binding in bindings.values()])

    return work


def _with_process(meter: Meter, loop: LoopWatch) -> Meter:
    """Add what this process tells of itself, which is the service's own."""

    async def figures() -> Sequence[Figure]:
        return [*await meter(), *await loop.figures()]

    return figures


def _adopt(descriptor: int, stack: ExitStack, *, shared: bool) -> TcpBinding:
    binding = TcpBinding.adopt(descriptor, shared=shared)
    stack.callback(binding.close)
    return binding


def _descriptor(binding: object) -> int:
    if not isinstance(binding, TcpBinding):
        msg = f"a process cannot inherit {binding!r}"
        raise TypeError(msg)
    return binding.fileno()


def _environment() -> Mapping[str, str]:
    """Return the environment of a child, in which it finds this very package."""
    here = str(Path(ordermgmt.__file__).parents[1])
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": here if not inherited else f"{here}{os.pathsep}{inherited}"}
