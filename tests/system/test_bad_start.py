"""A start that cannot go well ends with one clear line and a non-zero exit, and leaves nothing listening."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ordermgmt.system import service_names
from tests.leaks.watch import check_child
from tests.system.processes import PATIENCE, ROOT, environment, is_refused, run_module


@dataclass(frozen=True)
class Bad:
    """What is wrong with a start, and what its line must name."""

    names: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    changes: Mapping[str, str] = field(default_factory=dict)
    settings: str | None = None
    code: int = 1


ISSUER = '[[order.issuers]]\nissuer = "https://id.example.com"\naudience = "orders"\n'
CASES = {
    "unknown key": Bad(("settings.toml", "`colour`", "order"), settings='[order]\ncolour = "red"\n'),
    "unknown section": Bad(("settings.toml", "`orders`"), settings='[orders]\nlisten = "127.0.0.1:0"\n'),
    "wrong type": Bad(("settings.toml", "drain", "float"), settings='[suite]\ndrain = "long"\n'),
    "not TOML": Bad(("settings.toml", "TOML"), settings="[suite\n"),
    "missing file": Bad(("nowhere.toml", "No such file"), arguments=("--config", "nowhere.toml")),
    "unknown variable": Bad(("ORDERMGMT_ORDER_COLOUR",), changes={"ORDERMGMT_ORDER_COLOUR": "red"}),
    "variable of a wrong type": Bad(("ORDERMGMT_SUITE_DRAIN",), changes={"ORDERMGMT_SUITE_DRAIN": "long"}),
    "not a collector": Bad(
        ("telemetry.otlp_endpoint",), changes={"ORDERMGMT_TELEMETRY_OTLP_ENDPOINT": "http://me:secret@localhost"}
    ),
    "not an address": Bad(("order.listen", "9090"), changes={"ORDERMGMT_ORDER_LISTEN": "9090"}),
    "keys without TLS": Bad(
        ("order.issuers[0].jwks_url", "http://localhost:9600/keys"),
        settings=ISSUER + 'jwks_url = "http://localhost:9600/keys"\n',
    ),
    "missing CA file": Bad(
        ("order.issuers[0].ca_file", "nowhere.pem", "No such file"),
        settings=ISSUER + 'jwks_url = "https://localhost:9600/keys"\nca_file = "nowhere.pem"\n',
    ),
    "our own STS as a foreign issuer": Bad(
        ("order.issuers[0].issuer", "the suite's own STS"),
        settings=ISSUER + 'jwks_url = "https://id.example.com/"\n[sts]\npublic_url = "https://id.example.com"\n',
    ),
    "nobody could order": Bad(("order.trust_sts", "order.issuers"), settings="[order]\ntrust_sts = false\n"),
    "not in the table": Bad(("'shop'", ", ".join(service_names())), arguments=("order", "shop")),
    "guide beyond loopback": Bad(
        ("gateway.listen", "0.0.0.0:0", "--guide"),
        arguments=("--guide",),
        changes={"ORDERMGMT_GATEWAY_LISTEN": "0.0.0.0:0"},
    ),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with certificates and an empty data folder."""
    folder = tmp_path_factory.mktemp("prepared")
    failed = run_module(folder, "run", changes={"ORDERMGMT_ADMIN_LISTEN": "192.0.2.1:1"})
    assert failed.returncode == 1
    assert (folder / "certs" / "gateway.key").exists()
    return folder


def free_ports() -> dict[str, int]:
    """A port for each service, so that a test can look who listens there afterwards."""
    sockets = {name: socket.socket() for name in ("ADMIN", "STS", "ORDER", "INVENTORY")}
    for taken in sockets.values():
        taken.bind(("127.0.0.1", 0))
    ports = {name: taken.getsockname()[1] for name, taken in sockets.items()}
    for taken in sockets.values():
        taken.close()
    return ports


def fail(folder: Path, *arguments: str, changes: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Start in vain; return the exit status and the line."""
    ports = free_ports()
    listen = {f"ORDERMGMT_{name}_LISTEN": f"127.0.0.1:{port}" for name, port in ports.items()}
    command = [sys.executable, str(ROOT / "supervisor.py"), *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment(listen | dict(changes or {})),
        check=False, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert all(is_refused(port) for port in ports.values())
    check_child(done.stderr, "the suite")
    lines = done.stderr.splitlines()
    # Storage says for itself what SQLite answered; nothing else is said twice.
    assert [line for line in lines if '"level":"info"' not in line] == lines[-1:], done.stderr
    assert "Traceback" not in done.stderr
    assert lines[-1].startswith("Error: ")
    assert "running" not in done.stdout
    return done.returncode, lines[-1]


@pytest.mark.parametrize("case", CASES)
def test_bad_settings_get_one_line(case: str, prepared: Path) -> None:
    bad = CASES[case]
    arguments = bad.arguments
    if bad.settings is not None:
        (prepared / "settings.toml").write_text(bad.settings)
        arguments = ("--config", "settings.toml")
    code, line = fail(prepared, *arguments, changes=bad.changes)
    assert code == bad.code
    assert [name for name in bad.names if name not in line] == [], line


def test_a_port_in_use_is_named_with_its_setting(prepared: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, line = fail(prepared, changes={"ORDERMGMT_GATEWAY_LISTEN": address})
    assert code == 1
    assert line == f"Error: gateway.listen: cannot listen on {address}: Address already in use"


def test_a_key_that_others_can_read_is_named_with_the_remedy(prepared: Path) -> None:
    key = prepared / "certs" / "order.key"
    key.chmod(0o644)
    try:
        code, line = fail(prepared)
    finally:
        key.chmod(0o600)
    assert code == 1
    assert line.startswith("Error: certs/order.key is open to other users (mode 0644)")


def test_a_key_that_cannot_be_read_is_named(prepared: Path) -> None:
    key = prepared / "certs" / "order.key"
    content = key.read_bytes()
    key.write_bytes(b"not a key\n")
    try:
        code, line = fail(prepared)
    finally:
        key.write_bytes(content)
    assert code == 1
    assert "certs/order.key" in line


@pytest.mark.parametrize("service", ["sts", "inventory", "order"])
def test_a_corrupt_database_is_named(service: str, prepared: Path) -> None:
    data = prepared / f"data-{service}"
    data.mkdir()
    database = data / f"{service}.sqlite"
    database.write_bytes(os.urandom(8192))
    database.chmod(0o600)
    code, line = fail(prepared, changes={"ORDERMGMT_SUITE_DATA": data.name})
    assert code == 1
    assert f"{service} cannot start: cannot use the database {data.name}/{service}.sqlite" in line
    assert "; `ordermgmt restore` puts a backup in its place" in line
