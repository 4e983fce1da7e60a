"""What two ends agree on, and what stops a start."""

from __future__ import annotations

import shutil
import ssl
import warnings
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ordermgmt.clock import Clock, SystemClock
from ordermgmt.errors import StartError
from ordermgmt.net import ClientTls, PeerRefused
from ordermgmt.pki.files import ensure, issue, replace_authority
from ordermgmt.security.peer import Peer, identify
from ordermgmt.security.tls import (
    Credential,
    PublicTls,
    client_tls,
    load_credential,
    public_client_context,
    server_context,
)
from tests.unit.tls.tls_setup import (
    DAY,
    DOMAIN,
    SERVICES,
    caller,
    connect,
    handshake,
    listener,
    put_leaf,
    refused_by,
    stranger,
)


def old_client(certs: Path, highest: ssl.TLSVersion) -> ssl.SSLContext:
    context = stranger(certs)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = highest
    return context


def test_tls_1_1_is_refused(certs: Path, clock: Clock) -> None:
    credential = load_credential(certs, "gateway", DOMAIN)
    server = server_context(credential, client_certificates=False, clock=clock)
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        handshake(server, old_client(certs, ssl.TLSVersion.TLSv1_1))
    # The same client is let in where it is allowed, so it was the version that was refused.
    server.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        server.minimum_version = ssl.TLSVersion.TLSv1
    assert handshake(server, old_client(certs, ssl.TLSVersion.TLSv1_1))[0].version() == "TLSv1.1"


@pytest.mark.parametrize("suite", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES128-SHA"])
def test_tls_1_2_without_forward_secrecy_or_aead_is_refused(certs: Path, clock: Clock, suite: str) -> None:
    credential = load_credential(certs, "gateway", DOMAIN)
    client = old_client(certs, ssl.TLSVersion.TLSv1_2)
    client.set_ciphers(f"{suite}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="NO_SHARED_CIPHER"):
        handshake(server_context(credential, client_certificates=False, clock=clock), client)


def test_tls_1_2_with_a_good_suite_is_let_in(certs: Path, clock: Clock) -> None:
    client = caller(certs, clock)
    client.context().maximum_version = ssl.TLSVersion.TLSv1_2
    server = listener(certs, clock)
    assert connect(certs, clock, server, client).name == "order"
    assert {suite["name"] for suite in server.get_ciphers() if suite["protocol"] == "TLSv1.2"} == {
        f"ECDHE-{kind}-{cipher}"
        for kind in ("ECDSA", "RSA")
        for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    }


def test_no_session_can_be_resumed_by_ticket(certs: Path, clock: Clock) -> None:
    server, client = listener(certs, clock), caller(certs, clock)
    assert server.num_tickets == 0
    assert server.options & ssl.OP_NO_TICKET
    assert server.options & ssl.OP_NO_RENEGOTIATION
    assert server.options & ssl.OP_NO_COMPRESSION
    _, called = handshake(server, client.context())
    with pytest.raises(ssl.SSLWantReadError):
        called.read(1)
    assert called.session is None or not called.session.has_ticket


@pytest.mark.parametrize(
    ("offered", "taken"),
    [(("http/1.1",), "http/1.1"), (("h2", "http/1.1"), "h2"), (("h2",), None)],
)
def test_only_the_given_protocols_are_negotiated(
    certs: Path, clock: Clock, offered: tuple[str, ...], taken: str | None
) -> None:
    credential = load_credential(certs, "gateway", DOMAIN)
    alpn = ("h2", "http/1.1") if taken == "h2" else ("http/1.1",)
    client = stranger(certs)
    client.set_alpn_protocols(list(offered))
    server = server_context(credential, client_certificates=False, alpn=alpn, clock=clock)
    assert handshake(server, client)[0].selected_alpn_protocol() == taken


def test_a_public_client_verifies_the_host_name(certs: Path, clock: Clock) -> None:
    credential = load_credential(certs, "gateway", DOMAIN)
    server = server_context(credential, client_certificates=False, clock=clock)
    tls = PublicTls(certs / "ca.pem", clock=clock)
    for host in ("localhost", "127.0.0.1", "::1"):
        tls.check(handshake(server, tls.context(), host)[1].getpeercert(binary_form=True))
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(server, tls.context(), "elsewhere.example")
    with pytest.raises(PeerRefused, match="no-certificate"):
        tls.check(None)


def test_a_public_client_refuses_dates_by_its_clock(certs: Path, clock: Clock) -> None:
    now = clock.now()
    put_leaf(certs, "old", [x509.DNSName("localhost")], now - 9 * DAY, now - DAY)
    server = listener(certs, clock)
    server.verify_mode = ssl.CERT_NONE
    server.load_cert_chain(certs / "old.pem", certs / "old.key")
    tls = PublicTls(certs / "ca.pem", clock=clock)
    with pytest.raises(refused_by(clock), match="expired"):
        tls.check(handshake(server, tls.context())[1].getpeercert(binary_form=True))


def test_a_public_client_needs_readable_authorities(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"cannot read .*missing\.pem"):
        public_client_context(tmp_path / "missing.pem", clock=SystemClock())


def test_a_key_that_others_can_read_stops_the_start_with_one_line(certs: Path) -> None:
    (certs / "order.key").chmod(0o644)
    with pytest.raises(StartError) as refused:
        load_credential(certs, "order", DOMAIN)
    assert str(refused.value).startswith(f"{certs / 'order.key'} is open to other users (mode 0644)")
    assert "\n" not in str(refused.value)


def test_a_context_holds_the_certificate_of_its_credential_or_is_not_built(certs: Path, clock: Clock) -> None:
    credential = load_credential(certs, "order", DOMAIN)
    issue(certs, "order", (), DOMAIN, clock.now())
    for build in (
        lambda: server_context(credential, client_certificates=True, clock=clock),
        lambda: client_tls(credential, expected="inventory", clock=clock),
    ):
        with pytest.raises(StartError, match="has changed since it was loaded"):
            build()
    shutil.copy(certs / "gateway.key", certs / "order.key")
    with pytest.raises(StartError, match="cannot use"):
        server_context(credential, client_certificates=True, clock=clock)


def test_nobody_is_refused_while_the_authority_is_replaced(certs: Path, clock: Clock) -> None:
    def pair() -> tuple[ssl.SSLContext, ClientTls]:
        return listener(certs, clock), caller(certs, clock)

    replace_authority(certs, (), DOMAIN, clock.now())
    both_trusted = pair()
    ensure(certs, SERVICES, (), DOMAIN, clock.now())
    renewed = pair()
    for server, client in ((both_trusted[0], renewed[1]), (renewed[0], both_trusted[1]), renewed):
        assert connect(certs, clock, server, client).name == "order"


def test_a_credential_is_one_value(certs: Path) -> None:
    credential = load_credential(certs, "order", DOMAIN)
    assert credential == load_credential(certs, "order", DOMAIN)
    assert isinstance(credential, Credential)
    der = credential.certificate.public_bytes(Encoding.DER)
    assert identify(der, credential.authorities, DOMAIN, credential.certificate.not_valid_before_utc.timestamp()) == (
        Peer("order", "spiffe://ordermgmt.local/order", credential.thumbprint)
    )
