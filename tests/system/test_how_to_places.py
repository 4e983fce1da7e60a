"""The pages that say how to run it elsewhere, and with whom: as they stand, but for names and ports."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.postgres_setup import PostgresServer
from tests.system.foreign_provider import ForeignProvider
from tests.system.pages import HOW_TO, blocks, commands, run, run_with
from tests.system.processes import suite
from tests.system.test_partial_start import free_ports

pytestmark = pytest.mark.slow

ORDER = {"name": "Sample", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}


def changed(text: str, replacements: Mapping[str, str]) -> str:
    """Put names of this machine in the place of those that a page prints; each has to be there."""
    for printed, here in replacements.items():
        assert printed in text, printed
        text = text.replace(printed, here)
    return text


def test_a_provider_of_somebody_else_s(tmp_path: Path) -> None:
    page = HOW_TO / "identity-provider.md"
    whole, _ = blocks(page, "toml")
    programs, browsers = blocks(page, "bash")
    with ForeignProvider({"robot": "robot-s", "orders": "orders-s"}).running() as provider:
        provider.ca.cert_pem.write_to_path(tmp_path / "id-ca.pem")
        for name, secret in provider.clients.items():
            (tmp_path / f"{name}-secret").write_text(f"{secret}\n")
        there = {"https://id.example.com": provider.url}
        (tmp_path / "provider.toml").write_text(changed(whole, there))
        with suite(tmp_path, "--config", "provider.toml") as running:
            assert run(changed(programs, there), running) == ["201 Created"]
            location = run_with(browsers.replace("localhost:8443", f"localhost:{running.ports['gateway']}"), tmp_path)
            assert location.startswith(f"{provider.url}/authorize?response_type=code&client_id=orders&")
            sign_in_and_order(running.url("gateway"), tmp_path)
            assert running.stop() == 0


def sign_in_and_order(gateway: str, folder: Path) -> None:
    """Do as a browser does, whose user signs in at the provider and places an order."""
    context = ssl.create_default_context(cafile=folder / "certs" / "ca.pem")
    context.load_verify_locations(folder / "id-ca.pem")
    with httpx.Client(verify=context, trust_env=False, follow_redirects=True) as browser:
        back = browser.get(f"{gateway}/session/login", params={"return_to": "/"})
        assert back.status_code == 200, back.text
        session = browser.get(f"{gateway}/session").json()
        assert session["user"]["name"] == "Carol C."
        assert "add_order" in session["scopes"]
        own = {"x-csrf": "1", "origin": gateway}
        placed = browser.post(f"{gateway}/api/order", json=ORDER, headers=own)
        assert placed.status_code == 201, placed.text
        assert [one["name"] for one in browser.get(f"{gateway}/api/order").json()["orders"]] == ["Sample"]


def test_two_machines(tmp_path: Path) -> None:
    page = HOW_TO / "several-machines.md"
    printed = ("9445", "9446", "9091", "9090", "8443")
    ports = {f":{port}": f":{free}" for port, free in zip(printed, free_ports(len(printed)), strict=True)}
    machines = {"one.example.com": "127.0.0.2", "two.example.com": "127.0.0.3"}
    (settings,) = blocks(page, "toml")
    settings = changed(settings, machines | ports)
    issue, order = blocks(page, "bash")
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "machines.toml").write_text(settings)
    listeners = ("STS_LISTEN", "STS_MTLS_LISTEN", "INVENTORY_LISTEN", "ORDER_LISTEN", "GATEWAY_LISTEN")
    # As the file says, but on the addresses of each machine alone.
    addresses = {
        f"ORDERMGMT_{name}": f"127.0.0.{2 if number < 3 else 3}{ports[f':{port}']}"
        for number, (name, port) in enumerate(zip(listeners, printed, strict=True))
    }
    with suite(one, "sts", "inventory", "--config", "machines.toml", changes=addresses) as first:
        there = 'ssh() { (cd ../two && "${@:2}"); }\nscp() { cp "${@:1:$#-1}" ../two/certs/; }\n'
        run_with(there + issue, one, addresses)
        with suite(two, "order", "gateway", "--config", "machines.toml", changes=addresses) as second:
            order = changed(order, machines | {port: ports[port] for port in (":9445", ":8443")})
            assert run(order, first, addresses | {"ORDERMGMT_CONFIG": "machines.toml"}) == ["201"]
            assert second.stop() == 0
        assert first.stop() == 0


def test_postgresql(tmp_path: Path, postgres: PostgresServer) -> None:
    page = HOW_TO / "postgresql.md"
    (settings,) = blocks(page, "toml")
    (made,) = blocks(page, "sql")
    given = conninfo_to_dict(postgres.dsn)
    there = "&".join(f"{name}={given[name]}" for name in ("host", "port") if name in given)
    (tmp_path / "shop.toml").write_text(
        changed(settings, {"db.example.com/ordermgmt?sslmode=verify-full": f"/ordermgmt?{there}"})
    )
    (tmp_path / "database-password").write_text("not asked for\n")
    postgres.execute(*(sql.SQL(statement) for statement in re.findall(r"\S[^;]*;", made)))
    try:
        with suite(tmp_path, "--config", "shop.toml") as running:
            assert run(commands(page), running) == ["201"]
            assert running.stop() == 0
        assert not list((tmp_path / "var").glob("*.sqlite"))
    finally:
        postgres.execute(sql.SQL("DROP DATABASE ordermgmt"), sql.SQL("DROP ROLE ordermgmt"))
