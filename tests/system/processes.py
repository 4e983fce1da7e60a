"""The suite as a process of its own, in a folder of its own, on free ports; and curl to talk to it."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ordermgmt.system import SERVICES
from tests.leaks.watch import check_child

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0
"""Seconds after which what should have happened has failed the test; normally it takes a fraction of that."""
LISTENERS = ("ADMIN_LISTEN", *(f"{service.name}_{key}".upper() for service in SERVICES for key in service.listeners))
ROW = re.compile(r"^(\w+)(-\d+)?( \(mTLS\))? +([^ ]+):(\d+) +running +(\d+) +", re.MULTILINE)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Ask until `condition` holds; fail naming `what` if it takes too long.

    Between two answers lies whatever the condition itself waits for: output, or a run of curl.
    """
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE:g} s"


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a suite on ports that the system chooses, with `changes`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ORDERMGMT_")}
    free = {f"ORDERMGMT_{name}": "127.0.0.1:0" for name in LISTENERS}
    path = f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', '')}"
    modules = f"{ROOT / 'tests' / 'leaks' / 'site'}{os.pathsep}{ROOT}"
    return inherited | free | {"PYTHONPATH": modules, "PATH": path} | dict(changes or {})


def is_refused(port: int) -> bool:
    """Tell whether nobody listens on a port of this machine."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def is_running(pid: int) -> bool:
    """Tell whether a process is there, and is more than an end that nobody has waited for."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], check=False, capture_output=True, text=True)
    return done.stdout.strip()[:1] not in {"", "Z"}


@dataclass
class SuiteProcess:
    """A running `python supervisor.py`; `ports` are by service, that of the STS's mTLS listener under `sts_mtls`.

    `pids` are those of the table, by service, or by worker (`order-1`).
    """

    process: subprocess.Popen[bytes]
    folder: Path
    output: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)

    @property
    def log(self) -> str:
        """What it has written to standard error so far."""
        return (self.folder / "log").read_text()

    def url(self, service: str, path: str = "") -> str:
        """The address of a service as clients name it."""
        return f"https://localhost:{self.ports[service]}{path}"

    def read_table(self) -> bool:
        """Take in what it printed; true when the table and what to try are there."""
        assert self.process.poll() is None, f"it ended: {self.log}"
        assert self.process.stdout is not None
        select.select([self.process.stdout], [], [], 0.1)
        self.output += (self.process.stdout.read() or b"").decode()
        rows = ROW.findall(self.output)
        self.ports = {f"{name}_mtls" if mtls else name: int(port) for name, _, mtls, _, port, _ in rows}
        self.pids = {name + worker: int(pid) for name, worker, _, _, _, pid in rows}
        return "stop:  Ctrl-C" in self.output

    def readiness(self) -> str:
        """What /readyz says of all services, as one line of JSON; empty if nobody answers."""
        url = f"http://127.0.0.1:{self.ports['admin']}/readyz"
        command = ["curl", "--silent", "--max-time", "5", url]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout

    def is_ready(self) -> bool:
        """Tell whether all services are ready."""
        return self.readiness().startswith('{"ready":true,')

    def is_draining(self, service: str) -> bool:
        """Tell whether a service finishes what is in flight."""
        return f'"{service}":{{"state":"draining"' in self.readiness()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def curl(self, *arguments: str, identity: str | None = None) -> tuple[int, str]:
        """Return status and body of a request; with the certificate `identity`, if named."""
        answer = self.try_curl(*arguments, identity=identity)
        assert answer.returncode == 0, answer.stderr
        body, _, status = answer.stdout.rpartition("\n")
        return int(status), body

    def try_curl(self, *arguments: str, identity: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run curl to its end, whatever that is; 35, 55 and 56 are a refused handshake."""
        command = ["curl", "--silent", "--show-error", "--max-time", "10", "--cacert", "certs/ca.pem"]
        if identity is not None:
            command += ["--cert", f"{identity}.pem", "--key", f"{identity}.key"]
        command += ["--write-out", "\n%{http_code}", *arguments]
        return subprocess.run(command, cwd=self.folder, check=False, capture_output=True, text=True)

    def script(self, name: str, *arguments: str, data: str = "var") -> subprocess.CompletedProcess[str]:
        """Run one of the scripts against this suite."""
        settings = {
            "CA_FILE": str(self.folder / "certs" / "ca.pem"),
            "DATA": str(self.folder / data),
            "STS_URL": self.url("sts"),
            "GATEWAY_URL": self.url("gateway"),
            "ORDER_URL": self.url("order"),
        }
        command = [str(ROOT / "scripts" / name), *arguments]
        return subprocess.run(
            command, env=environment(settings), check=False, capture_output=True, text=True, timeout=PATIENCE
        )

    def command(self, *arguments: str) -> str:
        """Run `ordermgmt` with the suite's folder and return what it printed."""
        done = run_module(self.folder, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


def run_module(
    folder: Path, *arguments: str, changes: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `ordermgmt` in `folder` to its end."""
    command = [sys.executable, "-m", "ordermgmt", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment(changes), check=False, capture_output=True, text=True, timeout=PATIENCE
    )
    check_child(done.stderr, f"ordermgmt {arguments[0]}")
    return done


@contextlib.contextmanager
def suite(
    folder: Path,
    *arguments: str,
    changes: Mapping[str, str] | None = None,
    program: Sequence[str] = (sys.executable, str(ROOT / "supervisor.py")),
) -> Iterator[SuiteProcess]:
    """Start the suite, wait until it is ready; leaving the block kills what is left of it.

    Its log is searched for secrets in the end: for known ones, unless it has a `program` or a source of its own, and
    for what looks like one.
    """
    command = [*program, *arguments]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            command, cwd=folder, env=environment(changes), stdout=subprocess.PIPE, stderr=log, bufsize=0,
            start_new_session=True,
        ) as process,
    ):  # fmt: skip
        try:
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), False)
            started = SuiteProcess(process, folder)
            wait_until(started.read_table, "the table")
            wait_until(started.is_ready, "/readyz")
            yield started
        finally:
            process.kill()
            process.wait(PATIENCE)
    watched = "PYTHONPATH" not in (changes or {}) and program[0] == sys.executable
    pids = {process.pid, *started.pids.values()} if watched else set()
    check_child((folder / "log").read_text(), "the suite", pids)
    check_child(started.output, "what the suite printed")


def connect(running: SuiteProcess, service: str) -> ssl.SSLSocket:
    """Open a TLS connection to a service; the caller closes it."""
    context = ssl.create_default_context(cafile=running.folder / "certs" / "ca.pem")
    plain = socket.create_connection(("127.0.0.1", running.ports[service]), timeout=PATIENCE)
    # Otherwise the kernel holds the request back until the server has acknowledged the end of the handshake.
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="localhost")
