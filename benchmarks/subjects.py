"""What is measured side by side: this suite, and the peer. Each is started in a folder of its own, on free ports."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
import trio

from ordermgmt.config import SuiteConfig
from tests.crash.registration import Secret, register
from tests.system import processes as starting
from tests.system.processes import SuiteProcess, run_module, suite

__all__ = [
    "PEER_PYTHON",
    "Ours",
    "Peer",
    "Subject",
    "cpu_seconds",
    "processes",
    "running_peer",
    "running_suite",
    "seed_orders",
]

ROOT = Path(__file__).parent.parent
# On a machine that does other things as well, a start takes what it takes; it is not what is measured.
starting.PATIENCE = 60.0
PEER_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
ITEMS = (("electronics", "SOWH1000XM4"), ("books", "978-1617295959"))
PIECES = 10**11
START = 60.0
"""Seconds that the peer may take to start."""
TICKS = os.sysconf("SC_CLK_TCK")
SEED = '[{{"category":"{0[0]}","code":"{0[1]}","qty":2}},{{"category":"{1[0]}","code":"{1[1]}","qty":1}}]'.format(
    *ITEMS
)


class Subject(Protocol):
    """Something that takes orders over HTTPS."""

    @property
    def name(self) -> str:
        """What to call it."""
        ...

    @property
    def url(self) -> str:
        """Its base URL."""
        ...

    @property
    def roots(self) -> tuple[int, ...]:
        """The processes that were started for it; their children belong to it, too."""
        ...

    def token(self) -> str:
        """Return a fresh token that may create, update and cancel here."""
        ...

    def seed(self, prefix: str, count: int) -> None:
        """Store orders with the ids `prefix-1` to `prefix-count` behind its back."""
        ...


@dataclass(frozen=True, slots=True)
class Ours:
    """The suite; `way` is the service that is asked, `gateway` or `order`."""

    suite: SuiteProcess
    secret: Secret
    way: str

    @property
    def name(self) -> str:
        """`direct`, or `gateway`."""
        return "direct" if self.way == "order" else self.way

    @property
    def url(self) -> str:
        """The base URL of the service."""
        return self.suite.url(self.way)

    @property
    def roots(self) -> tuple[int, ...]:
        """The supervisor, whose children the services are."""
        return (self.suite.process.pid,)

    def token(self) -> str:
        """Get an opaque token for the gateway, or a JWT for the order service."""
        wanted = {"grant_type": "client_credentials"}
        if self.way == "order":
            wanted["resource"] = self.suite.url("order")
        answer = httpx.post(
            self.suite.url("sts", "/oauth2/token"),
            data=wanted,
            auth=(self.secret.client_id, self.secret.secret),
            verify=ssl.create_default_context(cafile=self.suite.folder / "certs" / "ca.pem"),
            trust_env=False,
        )
        return str(answer.raise_for_status().json()["access_token"])

    def seed(self, prefix: str, count: int) -> None:
        """Store orders of the benchmark's own client."""
        owner = self.suite.url("sts"), f"client:{self.secret.client_id}"
        seed_orders(self.suite.folder / "var" / "order.sqlite", prefix, count, owner)


@dataclass(frozen=True, slots=True)
class Peer:
    """The peer. It trusts the suite's STS, and takes the token that the order service takes."""

    direct: Ours
    folder: Path
    roots: tuple[int, ...]
    url: str
    name: str = "peer"

    def token(self) -> str:
        """Get the very token that the order service gets."""
        return self.direct.token()

    def seed(self, prefix: str, count: int) -> None:
        """Store orders."""
        body = '{"id":"%s","name":"Sample order","items":' + SEED + "}"
        with contextlib.closing(sqlite3.connect(self.folder / "order.db", timeout=30)) as database, database:
            database.executemany(
                "INSERT OR REPLACE INTO orders VALUES (?, ?)",
                ((f"{prefix}-{n}", body % f"{prefix}-{n}") for n in range(1, count + 1)),
            )


@contextlib.contextmanager
def running_suite(folder: Path, *arguments: str) -> Iterator[tuple[Ours, Ours]]:
    """Start the suite with a client of ours and enough goods; give the ways direct and by gateway."""
    secret = trio.run(register, SuiteConfig(), folder / "var", "benchmark")
    for item in ITEMS:
        stocked = run_module(folder, "inventory", "restock", *item, str(PIECES))
        if stocked.returncode:
            raise RuntimeError(stocked.stderr)
    with suite(folder, *arguments) as running:
        yield Ours(running, secret, "order"), Ours(running, secret, "gateway")
        running.stop()


@contextlib.contextmanager
def running_peer(folder: Path, direct: Ours) -> Iterator[Peer]:
    """Start the peer's two services, with the certificates of the suite and its STS as issuer."""
    ports = _free_port(), _free_port()
    issuer = direct.suite.url("sts")
    told = {
        "PEER_CERTIFICATES": str(direct.suite.folder / "certs"),
        "PEER_INVENTORY": f"https://localhost:{ports[1]}",
        "PEER_ISSUER": issuer,
        "PEER_JWKS": f"{issuer}/oauth2/jwks",
    }
    with contextlib.ExitStack() as stack:
        inventory = stack.enter_context(_service(folder, "inventory", ports[1], told))
        order = stack.enter_context(_service(folder, "order", ports[0], told))
        for process, port in ((inventory, ports[1]), (order, ports[0])):
            _wait_for(port, process)
        yield Peer(direct, folder, (inventory.pid, order.pid), f"https://localhost:{ports[0]}")


def seed_orders(path: Path, prefix: str, count: int, owner: tuple[str, str]) -> None:
    """Store orders in the database of the order service, each with its first change, as if made one by one."""
    now = time.time()
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as database, database:
        database.execute("BEGIN IMMEDIATE")
        ((version,),) = database.execute("SELECT value FROM counters WHERE name = 'version'")
        numbers = range(1, count + 1)
        database.executemany(
            "INSERT INTO orders"
            " (id, name, items, owner_iss, owner_sub, created_version, version, created_at, updated_at)"
            " VALUES (?, 'Sample order', ?, ?, ?, ?, ?, ?, ?)",
            ((f"{prefix}-{n}", SEED, *owner, version + n, version + n, now, now) for n in numbers),
        )
        database.executemany(
            "INSERT INTO changes (version, order_id, created_version, action, at, iss, sub, via, name, items)"
            " VALUES (?, ?, ?, 'created', ?, ?, ?, NULL, 'Sample order', ?)",
            ((version + n, f"{prefix}-{n}", version + n, now, *owner, SEED) for n in numbers),
        )
        database.execute("UPDATE counters SET value = value + ? WHERE name = 'version'", (count,))


def processes(roots: Sequence[int]) -> list[int]:
    """Return these processes and all that came of them."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(_stat(path)[1])
    found = list(roots)
    for pid in found:  # grows meanwhile
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def cpu_seconds(roots: Sequence[int]) -> float:
    """Return the seconds of a core that these processes and all that came of them took so far, user and system."""
    total = 0.0
    for pid in processes(roots):
        with contextlib.suppress(OSError):
            fields = _stat(Path(f"/proc/{pid}/stat"))
            total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def _stat(path: Path) -> list[str]:
    """Return the fields of /proc/pid/stat from the third on: see proc(5)."""
    return path.read_text().rpartition(")")[2].split()


@contextlib.contextmanager
def _service(folder: Path, name: str, port: int, told: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start one service of the peer; leaving the block ends it."""
    environment = os.environ | told | {"PEER_PORT": str(port), "PEER_DATABASE": str(folder / f"{name}.db")}
    command = [PEER_PYTHON, ROOT / "benchmarks" / "peers" / f"{name}.py"]
    with (
        (folder / f"{name}.log").open("wb") as log,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > end:
            msg = f"the peer did not start: {process.args!r}"
            raise RuntimeError(msg)
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
