"""What a person types against a running suite: the scripts, the command line, and curl with certificates."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordermgmt.pki.files import ensure
from tests.system.processes import SuiteProcess, suite, wait_until

HANDSHAKE_REFUSED = {35, 52, 55, 56}
"""What curl exits with when the server ends the connection over the client's certificate."""
HEADPHONES = "/inventory/electronics/SOWH1000XM4"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteProcess]:
    with suite(tmp_path_factory.mktemp("plain")) as running:
        yield running
        assert running.stop() == 0


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteProcess]:
    with suite(tmp_path_factory.mktemp("guide"), "--guide") as running:
        yield running
        assert running.stop() == 0


@pytest.fixture(scope="module")
def operator(plain: SuiteProcess) -> str:
    """The path of a certificate issued to the operator, without its ending."""
    assert plain.command("certs", "issue", "operator").startswith("certs/operator.pem: asked for, issued until ")
    return "certs/operator"


def bound_token(running: SuiteProcess, client: str) -> str:
    status, body = running.curl(
        "--data", f"grant_type=client_credentials&client_id={client}",
        "--data-urlencode", "resource=spiffe://ordermgmt.local/inventory",
        running.url("sts_mtls", "/oauth2/token"), identity=f"certs/{client}",
    )  # fmt: skip
    assert status == 200, body
    return str(json.loads(body)["access_token"])


def pieces(running: SuiteProcess, path: str = HEADPHONES) -> int:
    status, body = running.curl(running.url("gateway", path))
    return int(json.loads(body)["qty"]) if status == 200 else -1


def test_the_guide_replays_twice(guide: SuiteProcess) -> None:
    for _ in range(2):
        done = guide.script("guide.sh", guide.url("order"))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "7 exchanges, all as the guide prints them" in done.stdout


def test_the_demo_walks_twice_beside_the_guide(guide: SuiteProcess) -> None:
    for _ in range(2):
        done = guide.script("demo.sh", data="var/guide")
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_demo_walks_twice(plain: SuiteProcess) -> None:
    for _ in range(2):
        done = plain.script("demo.sh")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "steps, all as expected" in done.stdout


def test_the_guide_says_what_differs_without_its_profile(plain: SuiteProcess) -> None:
    done = plain.script("guide.sh", plain.url("order"))
    assert done.returncode == 1
    assert "status line differs\n    expected: HTTP/1.1 201 Created\n    answered: HTTP/1.1 401 " in done.stdout
    assert done.stdout.rstrip().endswith("differences")


def test_the_guide_says_that_nobody_answers(plain: SuiteProcess) -> None:
    done = plain.script("guide.sh", "https://localhost:1")
    assert done.returncode == 1
    assert "no answer; is the suite running with --guide?" in done.stdout


def test_the_demo_stops_at_the_first_other_answer(plain: SuiteProcess) -> None:
    # An order that is there already: 409 where 201 is expected.
    secret = next(
        line.split()[2]
        for line in (plain.folder / "var" / "demo-credentials").read_text().splitlines()
        if line.startswith("client admin-app ")
    )
    (plain.folder / "admin").write_text(f'user = "admin-app:{secret}"\n')
    _, body = plain.curl(
        "--config", "admin", "--data", "grant_type=client_credentials", plain.url("sts", "/oauth2/token")
    )
    bearer = ["--header", f"Authorization: Bearer {json.loads(body)['access_token']}"]
    order = '{"id": "demo-gateway", "name": "x", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}'
    create = [*bearer, "--header", "Content-Type: application/json", "--data", order, plain.url("gateway", "/order")]
    assert plain.curl(*create)[0] == 201
    done = plain.script("demo.sh")
    assert plain.curl(*bearer, "--request", "DELETE", plain.url("gateway", "/order/demo-gateway"))[0] == 200
    assert done.returncode == 1
    assert done.stderr == "expected 201\n"


def test_the_demo_needs_its_credentials(plain: SuiteProcess) -> None:
    done = plain.script("demo.sh", data="nowhere")
    assert done.returncode == 1
    assert done.stderr.startswith("cannot read ")
    assert len(done.stderr.splitlines()) == 1


def test_the_command_line_changes_stock_while_the_suite_runs(plain: SuiteProcess) -> None:
    before = pieces(plain)
    plain.command("inventory", "restock", "electronics", "SOWH1000XM4", "5")
    wait_until(lambda: pieces(plain) == before + 5, "the restock")
    added = plain.command("inventory", "add", "garden", "HOSE-1", "--name", "Hose", "--price", "9.50", "--qty", "3")
    assert added == "garden/HOSE-1: 3 in stock\n"
    wait_until(lambda: pieces(plain, "/inventory/garden/HOSE-1") == 3, "the new goods")
    listed = [line.split() for line in plain.command("inventory", "list").splitlines()]
    assert ["garden", "HOSE-1", "3", "$", "9.50", "Hose"] in listed


def test_certificates_are_shown(plain: SuiteProcess, operator: str) -> None:
    shown = plain.command("certs", "show")
    assert (plain.folder / f"{operator}.key").stat().st_mode & 0o777 == 0o600
    for name in ("sts", "inventory", "order", "gateway", "operator"):
        assert f"spiffe://ordermgmt.local/{name}\n" in shown


def test_the_operator_adds_goods_at_the_inventory(plain: SuiteProcess, operator: str) -> None:
    bearer = f"Authorization: Bearer {bound_token(plain, 'operator')}"
    goods = '{"operation": "by-hand-0000000000001", "name": "Rake", "price": "12.00", "add": 4}'
    target = plain.url("inventory", "/inventory/garden/RAKE-1")
    put = ["--request", "PUT", "--header", "Content-Type: application/json", "--data", goods, target]
    status, body = plain.curl("--header", bearer, *put, identity=operator)
    assert status == 201, body
    assert pieces(plain, "/inventory/garden/RAKE-1") == 4
    # The token is worth nothing without the certificate that it is bound to, nor the certificate without a token.
    assert plain.curl("--header", bearer, *put, identity="certs/order")[0] in {401, 403}
    assert plain.curl(*put, identity=operator)[0] == 401


def test_the_gateway_may_not_change_stock(plain: SuiteProcess) -> None:
    bearer = f"Authorization: Bearer {bound_token(plain, 'gateway')}"
    body = (
        '{"operation": "by-hand-0000000000002", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}'
    )
    status, _ = plain.curl(
        "--request", "PUT", "--header", bearer, "--header", "Content-Type: application/json", "--data", body,
        plain.url("inventory", "/inventory/decrease"), identity="certs/gateway",
    )  # fmt: skip
    assert status == 403
    read, _ = plain.curl("--header", bearer, plain.url("inventory", HEADPHONES), identity="certs/gateway")
    assert read == 200


@pytest.mark.parametrize("listener", ["inventory", "sts_mtls"])
def test_no_certificate_and_a_foreign_one_are_refused(listener: str, plain: SuiteProcess, tmp_path: Path) -> None:
    ensure(tmp_path, ["order"], ["localhost"], "ordermgmt.local", time.time())  # the same names from another authority
    for identity in (None, str(tmp_path / "order")):
        refused = plain.try_curl(plain.url(listener, "/inventory"), identity=identity)
        assert refused.returncode in HANDSHAKE_REFUSED, refused.stderr
        assert refused.stdout == "\n000"


def test_tls_below_1_2_is_refused(plain: SuiteProcess) -> None:
    refused = plain.try_curl("--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", plain.url("gateway", "/inventory"))
    assert refused.returncode == 35
    assert plain.curl("--tls-max", "1.2", plain.url("gateway", "/inventory"))[0] == 200


def test_the_listener_for_browsers_knows_no_certificates(plain: SuiteProcess, operator: str) -> None:
    status, body = plain.curl(
        "--data", "grant_type=client_credentials&client_id=operator", plain.url("sts", "/oauth2/token"),
        identity=operator,
    )  # fmt: skip
    assert status == 401
    assert json.loads(body)["error"] == "invalid_client"
