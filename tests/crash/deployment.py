"""The processes under test: the suite with a process for each service, and replicas under supervisors of their own."""

from __future__ import annotations

import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
import trio

from ordermgmt.placement import worker_names
from tests.system.processes import ROOT, environment

__all__ = ["SERVICES", "Deployment", "Failed", "Member", "free_ports"]

SERVICES = ("sts", "inventory", "order", "gateway")
PORTS = ("admin", "sts", "sts_mtls", "order", "inventory", "gateway", "admin_2", "order_2", "admin_3", "inventory_2")
READY_WITHIN = 30.0


class Failed(Exception):
    """The proof failed, or could not go on."""


@dataclass(slots=True)
class Member:
    """One supervisor with some services.

    `pids` are those of its services when it was last ready, `gone` those of processes that were killed since.
    """

    name: str
    arguments: Sequence[str]
    settings: Mapping[str, str]
    admin: str
    process: subprocess.Popen[bytes] | None = None
    pids: dict[str, int] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)


class Deployment:
    """A suite in `folder` at addresses that stay when it is started again, and a second order service beside it.

    With a `dsn` its data is in PostgreSQL, and there is a second inventory service, too. `inventory_timeout` is in
    seconds; leases are 1.5 of it. Each service of the suite has so many `workers`, the last of which is killed or
    paused. Use it as `with`: the end kills what is left.
    """

    def __init__(
        self, folder: Path, ports: Mapping[str, int], *, dsn: str | None, inventory_timeout: float, workers: int = 1
    ) -> None:
        self.folder = folder
        self.ports = ports
        self.lease = 1.5 * inventory_timeout
        self._workers = workers
        at = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        seconds = dsn is not None
        common = {
            "ORDERMGMT_ORDER_INVENTORY_TIMEOUT": str(inventory_timeout),
            "ORDERMGMT_ORDER_PATIENCE": "1.0",
            "ORDERMGMT_GATEWAY_UPSTREAM_TIMEOUT": "1.2",
            "ORDERMGMT_STS_ACCESS_TOKEN_LIFETIME": "36000",
            "ORDERMGMT_STS_PUBLIC_URL": self.url("sts"),
            "ORDERMGMT_ORDER_PUBLIC_URL": self.url("order"),
            "ORDERMGMT_SUITE_STS": at["sts"],
            "ORDERMGMT_SUITE_STS_MTLS": at["sts_mtls"],
            "ORDERMGMT_SUITE_ORDER": f"{at['order']},{at['order_2']}",
            "ORDERMGMT_SUITE_INVENTORY": ",".join([at["inventory"], at["inventory_2"]][: 1 + seconds]),
            **({"ORDERMGMT_SUITE_DATABASE": dsn} if dsn is not None else {}),
        }
        listen = {f"ORDERMGMT_{name.upper()}_LISTEN": at[name] for name in PORTS[:6] if name != "sts_mtls"}
        listen["ORDERMGMT_STS_MTLS_LISTEN"] = at["sts_mtls"]
        self.members = [
            Member("suite", ["--workers", str(workers)], common | listen, at["admin"]),
            self._replica("order", "order_2", "admin_2", common, at),
        ]
        if seconds:
            self.members.append(self._replica("inventory", "inventory_2", "admin_3", common, at))

    def url(self, name: str) -> str:
        """Return the base URL of a listener."""
        return f"https://localhost:{self.ports[name]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            self.kill(member)

    async def start(self) -> None:
        """Start those members that do not run, and wait until all services of all of them are ready."""
        for member in self.members:
            if member.process is None or member.process.poll() is not None:
                await trio.to_thread.run_sync(self._spawn, member)
                if not (self.folder / "certs" / "order.pem").exists():
                    await self._ready(member)
        for member in self.members:
            await self._ready(member)

    def kill(self, member: Member) -> None:
        """Kill a supervisor and its services, all at once."""
        if member.process is None:
            return
        # The supervisor first, or it would start the others again.
        for pid in [member.process.pid, *member.pids.values()]:
            _signal(pid, signal.SIGKILL)
        member.process.wait(10)
        member.process, member.pids, member.gone = None, {}, set()

    def kill_all(self) -> None:
        """Kill everything."""
        for member in self.members:
            self.kill(member)

    def kill_service(self, service: str) -> None:
        """Kill a process of one service; the suite starts it again."""
        suite, victim = self.members[0], self._victim(service)
        suite.gone.add(suite.pids[victim])
        _signal(suite.pids[victim], signal.SIGKILL)

    @contextmanager
    def paused(self, service: str) -> Iterator[None]:
        """Stop a process of one service inside the block, as a machine does that swaps or migrates."""
        pid = self.members[0].pids[self._victim(service)]
        _signal(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(pid, signal.SIGCONT)

    def _victim(self, service: str) -> str:
        return worker_names(service, self._workers)[-1]

    def tail(self) -> str:
        """Return the end of all logs."""
        return "\n".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("*.log")))

    def _replica(self, service: str, port: str, admin: str, common: Mapping[str, str], at: Mapping[str, str]) -> Member:
        listen = {f"ORDERMGMT_{service.upper()}_LISTEN": at[port], "ORDERMGMT_ADMIN_LISTEN": at[admin]}
        return Member(f"{service}-2", [service], {**common, **listen}, at[admin])

    def _spawn(self, member: Member) -> None:
        with (self.folder / f"{member.name}.log").open("ab") as log:
            member.process = subprocess.Popen(
                [sys.executable, str(ROOT / "supervisor.py"), *member.arguments],
                cwd=self.folder,
                env=environment(member.settings),
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    async def _ready(self, member: Member) -> None:
        end = time.monotonic() + READY_WITHIN
        async with httpx.AsyncClient(trust_env=False) as http:
            while time.monotonic() < end:
                if member.process is None or member.process.poll() is not None:
                    break
                try:
                    answer = await http.get(f"http://{member.admin}/readyz", timeout=5)
                except httpx.TransportError:
                    await trio.sleep(0.05)
                    continue
                services = answer.json()["services"]
                member.pids = {name: one["pid"] for name, one in services.items() if one["pid"] is not None}
                if answer.status_code == 200 and not member.gone & set(member.pids.values()):
                    return
                await trio.sleep(0.03)
        msg = f"{member.name} is not ready within {READY_WITHIN:g} s, or ended:\n{self.tail()}"
        raise Failed(msg)


def free_ports(names: Sequence[str] = PORTS) -> dict[str, int]:
    """Find ports that are free, below those that the system gives to clients, so that they stay free for restarts."""
    found: dict[str, int] = {}
    tried = random.Random(secrets.randbits(64))  # noqa: S311 - no secret
    while len(found) < len(names):
        port = tried.randrange(12000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found.values():
            found[names[len(found)]] = port
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
