"""Who gets through to whom, by certificate and by the token that is bound to it."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from ordermgmt.config import Config, SuiteConfig
from ordermgmt.net.outbound import Interrupted, Response, Unreachable, open_client
from ordermgmt.pki import files as pki
from ordermgmt.security.tls import Credential, PublicTls, client_tls, load_credential
from ordermgmt.suite import Suite
from ordermgmt.testing.clocks import START, VirtualClock
from ordermgmt.testing.harness import RunningSystem, running_system
from tests.log_lines import select

DAY = 86400.0
TRUST_DOMAIN = "ordermgmt.local"
ITEM = "/inventory/books/978-1617295959"
TAKE_ONE = {"operation": "op-1", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}
ORDER = {"id": "1", "name": "One", "items": TAKE_ONE["items"]}


def credential_of(system: RunningSystem, name: str) -> Credential:
    return load_credential(system.certs, name, TRUST_DOMAIN)


async def read_stock_as(system: RunningSystem, credential: Credential, token: str = "") -> Response:
    """Read stock over a connection of its own, by a clock that the suite's does not move."""
    tls = client_tls(credential, expected="inventory", clock=VirtualClock())
    async with open_client(system.runtime.network, [system.address("inventory")], tls=tls) as client:
        return await client.request("GET", ITEM, headers=[("authorization", f"Bearer {token}")] if token else [])


async def test_the_order_services_own_pair_works(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path) as system:
        token = await system.bound_token("order")
        taken = await system.request(
            "inventory", "PUT", "/inventory/decrease", token=token, json=TAKE_ONE, identity="order"
        )
        assert taken.status == 200
        assert json.loads((await system.request("gateway", "GET", ITEM)).content)["qty"] == 9


async def test_nobody_gets_in_without_a_certificate(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_system(tmp_path) as system:
        token = await system.bound_token("order")
        tls = PublicTls(system.certs / "ca.pem", clock=system.runtime.clock)
        address = system.address("inventory")._replace(host="localhost")
        async with open_client(system.runtime.network, [address], tls=tls) as client:
            with pytest.raises((Interrupted, Unreachable)):
                await client.request("GET", ITEM, headers=[("authorization", f"Bearer {token}")])
        assert (await read_stock_as(system, credential_of(system, "order"), token)).status == 200


async def test_a_certificate_of_a_foreign_authority_is_refused(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    async with running_system(tmp_path) as system:
        token = await system.bound_token("order")
        pki.ensure(foreign, ["order"], ["localhost"], TRUST_DOMAIN, system.runtime.clock.now())
        theirs, own = load_credential(foreign, "order", TRUST_DOMAIN), credential_of(system, "order")
        with pytest.raises((Interrupted, Unreachable)):
            await read_stock_as(system, replace(theirs, authorities=own.authorities), token)
        assert (await read_stock_as(system, own, token)).status == 200


async def test_an_expired_certificate_is_refused(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_system(tmp_path) as system:
        order = credential_of(system, "order")
        assert (await read_stock_as(system, order)).status == 401
        skew(system, 91 * DAY)
        with pytest.raises((Interrupted, Unreachable)):
            await read_stock_as(system, order)
    assert "certificate-expired" in capsys.readouterr().err


async def test_a_certificate_whose_issuer_has_expired_is_refused(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_system(tmp_path, prepare=end_authority_in_a_day) as system:
        order = credential_of(system, "order")
        assert (await read_stock_as(system, order)).status == 401
        skew(system, 2 * DAY)
        with pytest.raises((Interrupted, Unreachable)):
            await read_stock_as(system, order)
    assert "issuer-expired" in capsys.readouterr().err


def skew(system: RunningSystem, seconds: float) -> None:
    assert isinstance(system.runtime.clock, VirtualClock)
    system.runtime.clock.skew = seconds


def end_authority_in_a_day(suite: Suite) -> None:
    """Put a certificate of the same authority in place of its first, that ends before those that it issued."""
    certs = Path(suite.config.suite.certs)
    old = x509.load_pem_x509_certificate((certs / "ca.pem").read_bytes())
    key = load_pem_private_key((certs / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(datetime.fromtimestamp(START, UTC) + timedelta(days=1))
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    (certs / "ca.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))


async def test_the_right_authority_is_not_enough(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_system(tmp_path) as system:
        token = await system.bound_token("order")
        refused = await system.request("inventory", "GET", ITEM, token=token, identity="sts")
        assert (refused.status, refused.content) == (403, b"")
    log = capsys.readouterr().err
    (line,) = select(log, "refused", code="caller-not-allowed")
    assert (line["detail"], line["caller"]) == ("caller sts", "sts")
    assert token not in log


async def test_a_token_is_good_only_with_the_certificate_that_it_is_bound_to(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path) as system:
        token = await system.bound_token("order")
        refused = await system.request("inventory", "GET", ITEM, token=token, identity="gateway")
        assert (refused.status, refused.content) == (401, b"")
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert (await system.request("inventory", "GET", ITEM, token=token, identity="order")).status == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 200),
        ({"cnf": None}, 401),  # not bound
        ({"cnf": {"x5t#S256": "A" * 43}}, 401),
        ({"client_id": "gateway"}, 401),
        ({"aud": "order"}, 401),
        ({"iss": "https://localhost:1"}, 401),
        ({"scope": "add_order"}, 403),
        ({"exp": int(START)}, 401),
    ],
)
async def test_every_claim_of_a_callers_token_counts(
    changes: dict[str, Any], status: int, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path) as system:
        body = (await system.bound_token("order")).split(".")[1]
        claims = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4))) | changes
        key = await system.signing_key()
        token = key.sign({name: value for name, value in claims.items() if value is not None}, "at+jwt")
        skew(system, 40)
        assert (await system.request("inventory", "GET", ITEM, token=token, identity="order")).status == status


async def test_a_token_for_another_service_opens_nothing_here(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path) as system:
        for token in (await system.order_token("admin-app"), await system.token("admin-app")):
            refused = await system.request("inventory", "GET", ITEM, token=token, identity="order")
            assert refused.status == 401


async def test_the_gateway_may_read_stock_but_not_change_it(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path) as system:
        token = await system.bound_token("gateway")
        assert (await system.request("inventory", "GET", ITEM, token=token, identity="gateway")).status == 200
        for target in ("/inventory/decrease", "/inventory/increase", ITEM):
            refused = await system.request("inventory", "PUT", target, token=token, json=TAKE_ONE, identity="gateway")
            assert refused.status == 403
        acknowledgement = {"sent_at": START, "acknowledged": ["op-1"]}
        refused = await system.request(
            "inventory", "POST", "/inventory/operations", token=token, json=acknowledgement, identity="gateway"
        )
        assert refused.status == 403
        assert json.loads((await system.request("gateway", "GET", ITEM)).content)["qty"] == 10


async def test_the_order_service_may_change_stock_but_not_add_goods(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    goods = {"operation": "op-1", "add": 1}
    async with running_system(tmp_path) as system:
        token = await system.bound_token("order")
        refused = await system.request("inventory", "PUT", ITEM, token=token, json=goods, identity="order")
        assert refused.status == 403
        batch = {"sent_at": system.runtime.clock.now(), "acknowledged": ["op-1"]}
        taken = await system.request(
            "inventory", "POST", "/inventory/operations", token=token, json=batch, identity="order"
        )
        assert (taken.status, json.loads(taken.content)) == (200, {"results": []})
        answer = await system.request("inventory", "GET", "/balance?limit=1", token=token, identity="order")
        assert json.loads(answer.content)["items"] == [
            {"category": "books", "code": "978-1484220498", "adjusted": 10, "moved": 0, "qty": 10}
        ]


async def test_nobody_outside_sees_the_balance(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path) as system:
        for target in ("/balance", "/inventory/balance"):
            assert (await system.request("gateway", "GET", target)).status == 404


async def test_a_caller_refuses_a_server_that_is_another_service(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    elsewhere = Config(suite=SuiteConfig(inventory=("127.0.0.1:8443",)))  # where the gateway listens
    async with running_system(tmp_path, config=elsewhere) as system:
        token = await system.order_token("admin-app")
        assert (await system.request("order", "POST", "/order", token=token, json=ORDER)).status == 503
        assert (await system.request("order", "GET", "/order/1")).status == 404
        assert (await system.request("gateway", "GET", ITEM)).status == 503
        tls = client_tls(credential_of(system, "order"), expected="inventory", clock=system.runtime.clock)
        async with open_client(system.runtime.network, [system.address("gateway")], tls=tls) as client:
            with pytest.raises(Unreachable, match=r"reached spiffe://ordermgmt\.local/gateway"):
                await client.request("GET", ITEM)


@pytest.mark.parametrize(("client_id", "identity", "status"), [("order", "order", 200), ("order", "gateway", 401)])
async def test_a_service_is_who_its_certificate_says(
    client_id: str, identity: str, status: int, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path, services=["sts"]) as system:
        parameters = {"grant_type": "client_credentials", "resource": f"spiffe://{TRUST_DOMAIN}/inventory"}
        answer = await system.token_request(parameters | {"client_id": client_id}, identity=identity)
        assert answer.status == status
        if status == 401:
            assert json.loads(answer.content)["error"] == "invalid_client"
