"""What a person is told when the suite is up: where each service is, in which process, and what to try."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ordermgmt.clock import SystemClock
from ordermgmt.net import format_address
from ordermgmt.pki import files as pki
from ordermgmt.suite import Suite
from ordermgmt.supervision.health import Health, State
from ordermgmt.system import service_names
from ordermgmt.telemetry.console import ServiceRow, show_startup

__all__ = ["show_when_ready"]


async def show_when_ready(suite: Suite) -> None:
    """Wait until all services run, then print where they are and what to try."""
    seen = suite.board.snapshot()
    while any(health.state is not State.RUNNING for health in seen.values()):
        seen = await suite.board.newer(seen)
    config = suite.config
    days = {row.name: row.days_left for row in pki.describe(Path(config.suite.certs), SystemClock().now())}
    workers = {
        service: [(name, health) for name, health in seen.items() if health.service == service]
        for service in suite.addresses
    }
    rows = [
        ServiceRow(
            name if key == "listen" else f"{name} (mTLS)",
            format_address(address),
            str(health.state),
            health.pid,
            days.get(service),
        )
        for service, listeners in suite.addresses.items()
        for name, health in workers[service] or [(service, Health(State.RUNNING, 0.0, pid=os.getpid()))]
        for key, address in listeners.items()
    ]
    show_startup(sys.stdout, rows, _hints(suite))


def _hints(suite: Suite) -> list[str]:
    """Return what to try first, as commands that can be copied."""
    ca_file = Path(suite.config.suite.certs) / "ca.pem"
    admin = f"curl http://{format_address(suite.addresses['admin']['listen'])}/readyz"
    lines = [f"ready: {admin}"]
    if "gateway" in suite.addresses:
        lines.append(f"try:   curl --cacert {ca_file} {suite.endpoints.gateway_url}/inventory")
    if len(suite.services) == len(service_names()):
        if suite.guide:
            lines.append("       scripts/guide.sh")
        elif suite.demo:
            lines.append("       scripts/demo.sh")
    return [*lines, "stop:  Ctrl-C"]
