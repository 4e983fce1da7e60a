"""Replicas that a cluster would run, as processes: the generated commands and files, each on an address of its own."""

from __future__ import annotations

import base64
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import trio
from msgspec.structs import replace

from ordermgmt.clock import SystemClock
from ordermgmt.commands.deploy import kubernetes_files
from ordermgmt.config import Config, SuiteConfig
from ordermgmt.deployment.plan import CONFIGURATION, Options
from ordermgmt.pki import files as pki
from tests.crash.deployment import free_ports
from tests.leaks.watch import check_child
from tests.system.processes import ROOT

__all__ = ["SERVICES", "Cluster", "Replica"]

SERVICES = ("sts", "inventory", "order", "gateway")
PLACES = 3
"""Addresses of each service: two replicas, and one more while they are exchanged or scaled out."""
READY_WITHIN = 60.0


@dataclass
class Replica:
    """One pod's worth: a service at an address."""

    service: str
    host: str
    process: subprocess.Popen[bytes] | None = None
    starts: int = field(default=0)


class Cluster:
    """The services of the manifests for Kubernetes, over the PostgreSQL database `dsn`. Use it as `with`.

    Names that a cluster would resolve are lists of addresses here, and `drain_delay` is shorter, because nothing but
    the services' own clients has to notice.
    """

    def __init__(self, folder: Path, dsn: str, *, drain_delay: float) -> None:
        self.folder = folder
        self.dsn = dsn
        self.ports = free_ports(("sts", "sts_mtls", "inventory", "order", "gateway", "admin"))
        network = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(200) + 20}"
        self.replicas = {
            service: [Replica(service, f"{network}.{10 * number + place}") for place in range(2, 2 + PLACES)]
            for number, service in enumerate(SERVICES)
        }
        sections = {name: replace(getattr(Config(), name), listen=f"127.0.0.1:{self.ports[name]}") for name in SERVICES}
        sections["sts"] = replace(sections["sts"], mtls_listen=f"127.0.0.1:{self.ports['sts_mtls']}")
        self.manifests = kubernetes_files(replace(Config(), **sections), Options())
        self._changes = self._settings(drain_delay)

    def urls(self, service: str) -> list[str]:
        """Return the addresses of a service as base URLs."""
        return [f"https://{replica.host}:{self.ports[service]}" for replica in self.replicas[service]]

    def __enter__(self) -> Self:
        self._make_files()
        return self

    def __exit__(self, *_: object) -> None:
        for replica in [one for places in self.replicas.values() for one in places]:
            if replica.process is not None:
                replica.process.kill()
                replica.process.wait(10)
        for log in self.folder.glob("*.log"):
            check_child(log.read_text(), log.name)

    async def start(self, replica: Replica) -> None:
        """Start a replica and wait until it is ready."""
        await trio.to_thread.run_sync(self._spawn, replica)
        url = f"http://{replica.host}:{self.ports['admin']}/readyz/{replica.service}"
        with trio.fail_after(READY_WITHIN):
            async with httpx.AsyncClient(trust_env=False) as http:
                while True:
                    assert replica.process is not None
                    assert replica.process.poll() is None, self.log(replica)
                    with suppress(httpx.TransportError):
                        if (await http.get(url)).status_code == 200:
                            return
                    await trio.sleep(0.05)

    async def end(self, replica: Replica, number: signal.Signals) -> int:
        """Send a signal, wait for the end, and return the exit status."""
        process = replica.process
        assert process is not None
        process.send_signal(number)
        status = await trio.to_thread.run_sync(process.wait, READY_WITHIN)
        replica.process = None
        return status

    def log(self, replica: Replica) -> str:
        """Return what a replica has said."""
        return (self.folder / f"{replica.service}-{replica.host}.log").read_text()

    def _settings(self, drain_delay: float) -> dict[str, str]:
        """What the cluster would do for all pods: names, secrets."""
        at = {
            name: ",".join(f"{one.host}:{self.ports[name]}" for one in self.replicas[service])
            for name, service in [("sts_mtls", "sts"), *((name, name) for name in SERVICES)]
        }
        everybody = [one.host for places in self.replicas.values() for one in places]
        at["admin"] = ",".join(f"{host}:{self.ports['admin']}" for host in everybody)
        edges = ("sts", "sts_mtls", "order", "inventory", "admin")
        return {
            **{f"ORDERMGMT_SUITE_{name.upper()}": at[name] for name in edges},
            "ORDERMGMT_SUITE_DATABASE_PASSWORD_FILE": str(self.folder / "password"),
            "ORDERMGMT_STS_KEY_FILE": str(self.folder / "sts-key"),
            "ORDERMGMT_GATEWAY_KEY_FILE": str(self.folder / "gateway-key"),
            "ORDERMGMT_SUITE_DRAIN_DELAY": str(drain_delay),
            # what is left by who was killed is taken up after 1.5 of it
            "ORDERMGMT_ORDER_INVENTORY_TIMEOUT": "2",
        }

    def _make_files(self) -> None:
        settings: SuiteConfig = Config().suite
        authority = self.folder / "authority"
        authority.mkdir()
        pki.ensure(authority, SERVICES, settings.names, settings.trust_domain, SystemClock().now())
        for service in SERVICES:
            secret = self.folder / f"{service}-certificate"
            secret.mkdir()
            for name in ("ca.pem", f"{service}.pem", f"{service}.key"):
                (secret / name).write_bytes((authority / name).read_bytes())
                (secret / name).chmod(0o400)
        (self.folder / "password").write_text("nobody asks for it\n")
        for name in ("sts-key", "gateway-key"):
            (self.folder / name).write_bytes(base64.b64encode(secrets.token_bytes(32)) + b"\n")
            (self.folder / name).chmod(0o400)
        configuration = self._objects("shared.yaml")["ConfigMap"]["data"][Path(CONFIGURATION).name]
        (self.folder / "ordermgmt.toml").write_text(configuration)

    def _objects(self, file: str) -> dict[str, Any]:
        return {found["kind"]: found for found in self.manifests[file]}

    def _spawn(self, replica: Replica) -> None:
        service, host = replica.service, replica.host
        (container,) = self._objects(f"{service}.yaml")["Deployment"]["spec"]["template"]["spec"]["containers"]
        arguments = [str(self.folder / "ordermgmt.toml") if one == CONFIGURATION else one for one in container["args"]]
        listeners = {name: name for name in (service, "admin")} | ({"sts_mtls": "sts"} if service == "sts" else {})
        replica.starts += 1
        changes = {
            **self._changes,
            **{one["name"]: self.dsn for one in container["env"]},
            **{f"ORDERMGMT_{name.upper()}_LISTEN": f"{host}:{self.ports[name]}" for name in listeners},
            "ORDERMGMT_SUITE_DATA": str(self.folder / f"data-{host}-{replica.starts}"),
            "ORDERMGMT_SUITE_CERTS": str(self.folder / f"{service}-certificate"),
        }
        with (self.folder / f"{service}-{host}.log").open("ab") as log:
            replica.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ordermgmt", *arguments],
                cwd=self.folder,
                env=_environment(changes),
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )


def _environment(changes: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ORDERMGMT_")}
    return inherited | {"PYTHONPATH": f"{ROOT / 'tests' / 'leaks' / 'site'}{os.pathsep}{ROOT}"} | dict(changes)
