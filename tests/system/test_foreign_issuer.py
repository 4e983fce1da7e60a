"""The order service alone, as the page of how to shows it: an issuer with a CA of its own, real processes, real TLS."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import trustme

from ordermgmt.security.keys import SigningKey
from tests.system.foreign_server import ForeignServer
from tests.system.processes import ROOT, SuiteProcess, suite, wait_until
from tests.system.test_partial_start import free_ports

PAGE = (ROOT / "docs/how-to/identity-provider.md").read_text()
BOOK = {"category": "books", "code": "978-1617295959", "qty": 1}
KEY = SigningKey.generate("RS256")


class Issuer:
    """Publishes a JWK set over TLS on a free port of this machine; `ca` certifies it."""

    def __init__(self) -> None:
        self.asked = 0
        issuer, document = self, json.dumps({"keys": [KEY.public_jwk()]}).encode()

        class Keys(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                self.send_response(200 if self.path == "/keys" else 404)
                self.send_header("content-length", str(len(document)))
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ForeignServer(Keys)
        self.ca, self.port = self._server.ca, self._server.port

    @contextmanager
    def running(self) -> Iterator[Issuer]:
        with self._server.running():
            yield self


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer().running() as running:
        yield running


def write_example(folder: Path, issuer: Issuer, ports: Mapping[str, int]) -> None:
    """Write foreign.toml as the page has it, but for the ports."""
    found = re.search(r"## The order service alone\n.*?```toml\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    text = found[1].replace(":9600", f":{issuer.port}")
    for printed, port in ports.items():
        assert f":{printed}" in text
        text = text.replace(f":{printed}", f":{port}")
    (folder / "foreign.toml").write_text(text)
    issuer.ca.cert_pem.write_to_path(folder / "id-ca.pem")


def token(scope: str, key: SigningKey = KEY, **changes: Any) -> str:
    now = int(time.time())
    valid = {"iss": "https://id.example.com", "sub": "carol", "aud": "orders", "iat": now, "exp": now + 300}
    return key.sign(valid | {"scope": scope} | changes, "JWT")


def call(
    front: SuiteProcess, method: str, path: str, bearer: str | None = None, body: object = None
) -> tuple[int, str]:
    arguments = ["--request", method, front.url("order", path)]
    if bearer is not None:
        arguments += ["--header", f"authorization: Bearer {bearer}"]
    if body is not None:
        arguments += ["--header", "content-type: application/json", "--data", json.dumps(body)]
    return front.curl(*arguments)


def order(number: int) -> dict[str, Any]:
    return {"id": str(number), "name": "Carol", "items": [BOOK]}


def token_of_the_sts(back: SuiteProcess, resource: str) -> str:
    credentials = (back.folder / "var/demo-credentials").read_text()
    secret = re.search(r"^client counter-app (\S+)$", credentials, re.MULTILINE)
    assert secret is not None
    form = ["--data", "grant_type=client_credentials", "--data", f"resource={resource}"]
    status, body = back.curl("--user", f"counter-app:{secret[1]}", *form, back.url("sts", "/oauth2/token"))
    assert status == 200, body
    return str(json.loads(body)["access_token"])


def test_the_example_takes_orders_of_a_foreign_issuer_s_users(tmp_path: Path, issuer: Issuer) -> None:
    sts, sts_mtls, inventory, listen = free_ports(4)
    write_example(tmp_path, issuer, {"9445": sts, "9446": sts_mtls, "9091": inventory, "9090": listen})
    # The other machine: it shares the folder of certificates, and nothing else.
    back_folder = tmp_path / "back"
    back_folder.mkdir()
    (tmp_path / "certs").mkdir()
    (back_folder / "certs").symlink_to(tmp_path / "certs")
    of_back = {
        "ORDERMGMT_STS_LISTEN": f"127.0.0.1:{sts}",
        "ORDERMGMT_STS_MTLS_LISTEN": f"127.0.0.1:{sts_mtls}",
        "ORDERMGMT_INVENTORY_LISTEN": f"127.0.0.1:{inventory}",
        "ORDERMGMT_ORDER_PUBLIC_URL": f"https://localhost:{listen}",
    }
    of_front = {"ORDERMGMT_ORDER_LISTEN": f"127.0.0.1:{listen}"}
    writer = token("orders.write")
    with suite(tmp_path, "order", "--config", "foreign.toml", changes=of_front) as front:
        with suite(back_folder, "sts", "inventory", changes=of_back) as back:
            assert call(front, "POST", "/order", writer, order(1))[0] == 201
            assert call(front, "GET", "/order/1")[0] == 200
            status, body = call(front, "GET", "/order", writer)
            assert (status, json.loads(body)["orders"][0]["id"]) == (200, "1")
            refuse(front, back)
            back.stop()
        assert call(front, "POST", "/order", writer, order(2))[0] == 503
        assert call(front, "GET", "/order/1")[0] == 200
        assert call(front, "GET", "/order", writer)[0] == 200
        assert call(front, "GET", "/order/2")[0] == 404
        with suite(back_folder, "sts", "inventory", changes=of_back):
            wait_until(lambda: call(front, "POST", "/order", writer, order(3))[0] == 201, "an order")
            assert call(front, "DELETE", "/order/3", token("orders.admin"))[0] == 200
        assert front.stop() == 0


def refuse(front: SuiteProcess, back: SuiteProcess) -> None:
    stranger = SigningKey.generate("RS256")
    stranger.kid = KEY.kid
    forged = [
        token("orders.write", stranger),
        token("orders.write", SigningKey.generate("ES256")),
        token("orders.write", aud="order"),
        token("orders.write", iss="https://id.example.org"),
        token("orders.write", exp=int(time.time()) - 1),
        token_of_the_sts(back, front.url("order")),
    ]
    for bearer in forged:
        assert call(front, "POST", "/order", bearer, order(9)) == (401, "")
    for scope in ("add_order", "orders.read", "orders.admin"):
        assert call(front, "POST", "/order", token(scope), order(9)) == (403, "")


def test_a_key_server_that_another_ca_certifies_is_not_believed(tmp_path: Path, issuer: Issuer) -> None:
    write_example(tmp_path, issuer, {})
    with suite(tmp_path, "order", "--config", "foreign.toml") as front:
        assert call(front, "GET", "/order", token(""))[0] == 200
    trustme.CA().cert_pem.write_to_path(tmp_path / "id-ca.pem")
    asked = issuer.asked
    with suite(tmp_path, "order", "--config", "foreign.toml") as front:
        status, body = call(front, "GET", "/order", token(""))
        assert (status, "keys-unavailable" in body) == (503, True)
        assert call(front, "GET", "/order/1")[0] == 404
        assert "certificate verify failed" in front.log
    assert issuer.asked == asked
