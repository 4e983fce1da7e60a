"""Who is let in, and who is recognised."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from ordermgmt.clock import Clock, SystemClock
from ordermgmt.net import ClientTls, PeerRefused
from ordermgmt.pki.authority import make_authority
from ordermgmt.pki.files import ensure
from ordermgmt.pki.pairs import install
from ordermgmt.security.peer import Peer, identify
from ordermgmt.security.pem import read_certificates
from ordermgmt.security.tls import (
    NO_CHECK_TIME,
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
    SubclassedSystemClock,
    VirtualClock,
    caller,
    connect,
    handshake,
    identity,
    listener,
    put_leaf,
    refused_by,
    stranger,
)


def test_two_services_know_each_other_by_name(certs: Path, clock: Clock) -> None:
    peer = connect(certs, clock, listener(certs, clock), caller(certs, clock))
    assert peer.name == "order"
    assert peer.thumbprint == load_credential(certs, "order", DOMAIN).thumbprint


def test_a_client_without_a_certificate_is_refused(certs: Path, clock: Clock) -> None:
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        handshake(listener(certs, clock), stranger(certs))


def test_a_listener_for_browsers_asks_for_no_certificate(certs: Path, clock: Clock) -> None:
    credential = load_credential(certs, "gateway", DOMAIN)
    served, _ = handshake(server_context(credential, client_certificates=False, clock=clock), stranger(certs))
    assert served.getpeercert(binary_form=True) is None


def test_a_client_certificate_of_a_foreign_authority_is_refused(certs: Path, clock: Clock) -> None:
    client = stranger(certs)
    trustme.CA().issue_cert("localhost").configure_cert(client)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(listener(certs, clock), client)


def test_a_server_of_a_foreign_authority_is_refused(certs: Path, clock: Clock) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(server)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, caller(certs, clock).context())


def test_a_suite_made_elsewhere_is_foreign_though_all_its_names_are_the_same(certs: Path, clock: Clock) -> None:
    other = certs / "other"
    ensure(other, SERVICES, ("localhost",), DOMAIN, clock.now())
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(listener(other, clock), caller(certs, clock).context())
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(listener(certs, clock), relaxed(caller(other, clock).context()))


def relaxed(context: ssl.SSLContext) -> ssl.SSLContext:
    context.verify_mode = ssl.CERT_NONE
    return context


def test_the_gateway_at_the_address_of_inventory_is_refused(certs: Path, clock: Clock) -> None:
    reason = "wrong-identity: meant spiffe://ordermgmt.local/inventory, reached spiffe://ordermgmt.local/gateway"
    with pytest.raises(PeerRefused, match=reason):
        connect(certs, clock, listener(certs, clock, "gateway"), caller(certs, clock))


def test_a_server_without_an_identity_is_refused(certs: Path, clock: Clock) -> None:
    now = clock.now()
    context = listener(certs, clock)
    put_leaf(certs, "plain", [x509.DNSName("localhost")], now - 60, now + DAY)
    context.load_cert_chain(certs / "plain.pem", certs / "plain.key")
    with pytest.raises(PeerRefused, match="wrong-identity"):
        connect(certs, clock, context, caller(certs, clock))


def test_an_expired_server_is_refused(certs: Path, clock: Clock) -> None:
    now = clock.now()
    put_leaf(certs, "inventory", [identity("inventory")], now - 9 * DAY, now - DAY)
    with pytest.raises(refused_by(clock), match="expired"):
        connect(certs, clock, listener(certs, clock), caller(certs, clock))


def test_an_expired_client_is_refused(certs: Path, clock: Clock) -> None:
    now = clock.now()
    put_leaf(certs, "order", [identity("order")], now - 9 * DAY, now - DAY)
    with pytest.raises(refused_by(clock), match="expired"):
        connect(certs, clock, listener(certs, clock), caller(certs, clock))


@pytest.mark.parametrize("side", ["server", "client"])
def test_an_expired_issuer_is_refused_by_either_side(tmp_path: Path, clock: Clock, side: str) -> None:
    now = clock.now()
    authority = make_authority((), DOMAIN, now - 3651 * DAY)
    install(tmp_path, "ca", [authority.certificate], authority.key)
    for name in ("order", "inventory"):
        put_leaf(tmp_path, name, [identity(name)], now - DAY, now + DAY)
    server, client = listener(tmp_path, clock), caller(tmp_path, clock)
    # The side that is not looked at does not look.
    if side == "server":
        relaxed(client.context())
        with pytest.raises(refused_by(clock), match="expired"):
            served_peer(tmp_path, clock, server, client)
    else:
        relaxed(server)
        with pytest.raises(refused_by(clock), match="expired"):
            client.check(handshake(server, client.context())[1].getpeercert(binary_form=True))


def served_peer(certs: Path, clock: Clock, server: ssl.SSLContext, client: ClientTls) -> Peer:
    served, _ = handshake(server, client.context())
    authorities = read_certificates(certs / "ca.pem")
    return identify(served.getpeercert(binary_form=True), authorities, DOMAIN, clock.now())


def test_a_virtual_clock_that_moves_on_ends_a_certificate(tmp_path: Path) -> None:
    clock = VirtualClock()
    ensure(tmp_path, SERVICES, (), DOMAIN, clock.now())
    server, client = listener(tmp_path, clock), caller(tmp_path, clock)
    connect(tmp_path, clock, server, client)
    clock.time += 91 * DAY
    with pytest.raises(PeerRefused, match="certificate-expired"):
        connect(tmp_path, clock, server, client)
    with pytest.raises(PeerRefused, match="certificate-expired"):
        served_peer(tmp_path, clock, server, client)


@pytest.mark.parametrize("system", [SystemClock(), SubclassedSystemClock()])
def test_the_flag_to_ignore_dates_cannot_be_set_with_the_system_clock(tmp_path: Path, system: Clock) -> None:
    ensure(tmp_path, SERVICES, (), DOMAIN, time.time())
    credential = load_credential(tmp_path, "order", DOMAIN)

    def all_contexts(clock: Clock) -> list[ssl.SSLContext]:
        return [
            server_context(credential, client_certificates=True, clock=clock),
            server_context(credential, client_certificates=False, clock=clock),
            client_tls(credential, expected="inventory", clock=clock).context(),
            public_client_context(tmp_path / "ca.pem", clock=clock),
            PublicTls(tmp_path / "ca.pem", clock=clock).context(),
        ]

    assert not any(context.verify_flags & NO_CHECK_TIME for context in all_contexts(system))
    assert all(context.verify_flags & NO_CHECK_TIME for context in all_contexts(VirtualClock()))
