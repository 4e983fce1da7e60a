"""What certificates cannot say, whoever signs them."""

from __future__ import annotations

import ipaddress
import re
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

import ordermgmt
from ordermgmt.clock import Clock
from ordermgmt.pki.authority import Pair, make_authority, make_leaf
from ordermgmt.pki.pairs import install
from ordermgmt.security.tls import (
    public_client_context,
)
from tests.unit.tls.tls_setup import (
    DAY,
    DOMAIN,
    authority_of,
    caller,
    handshake,
    identity,
    listener,
    put_leaf,
    stranger,
)


def test_contexts_and_their_flags_are_made_in_one_module_only() -> None:
    package = Path(ordermgmt.__file__).parent
    makes = re.compile(r"SSLContext\(|create_default_context|_create_unverified|verify_flags|0x200000|NO_CHECK_TIME")
    found = {path.relative_to(package).as_posix() for path in package.rglob("*.py") if makes.search(path.read_text())}
    assert found == {"security/tls.py"}


OUTSIDE: list[list[x509.GeneralName]] = [
    [x509.DNSName("example.com"), identity("inventory")],
    [x509.DNSName("ordermgmt.local.example.com"), identity("inventory")],
    [x509.IPAddress(ipaddress.ip_address("192.0.2.1")), identity("inventory")],
    [x509.UniformResourceIdentifier("spiffe://example.com/inventory")],
    [x509.UniformResourceIdentifier("spiffe://sub.ordermgmt.local/inventory")],
    [x509.UniformResourceIdentifier("https://example.com/")],
]


@pytest.mark.parametrize("names", OUTSIDE)
def test_nothing_outside_the_name_constraints_can_be_certified(
    certs: Path, clock: Clock, names: list[x509.GeneralName]
) -> None:
    now = clock.now()
    put_leaf(certs, "thief", names, now - 60, now + DAY)
    server, client = listener(certs, clock), stranger(certs)
    client.load_cert_chain(certs / "thief.pem", certs / "thief.key")
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(server, client)
    server.load_cert_chain(certs / "thief.pem", certs / "thief.key")
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(server, caller(certs, clock).context())


def test_whoever_trusts_the_authority_trusts_it_for_no_other_host(certs: Path, clock: Clock) -> None:
    now = clock.now()
    server = listener(certs, clock)
    server.verify_mode = ssl.CERT_NONE
    client = public_client_context(certs / "ca.pem", clock=clock)
    put_leaf(certs, "thief", [x509.DNSName("example.com")], now - 60, now + DAY)
    server.load_cert_chain(certs / "thief.pem", certs / "thief.key")
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(server, client, "example.com")
    put_leaf(certs, "honest", [x509.DNSName("sub.localhost")], now - 60, now + DAY)
    server.load_cert_chain(certs / "honest.pem", certs / "honest.key")
    handshake(server, client, "sub.localhost")


def test_an_authority_below_ours_is_refused(certs: Path, clock: Clock) -> None:
    authority = authority_of(certs)
    below = make_authority((), DOMAIN, clock.now())
    builder = x509.CertificateBuilder(
        issuer_name=authority.certificate.subject,
        subject_name=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "below")]),
        public_key=below.key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=below.certificate.not_valid_before_utc,
        not_valid_after=below.certificate.not_valid_before_utc + timedelta(days=9),
    )
    for extension in below.certificate.extensions:
        if not isinstance(extension.value, x509.AuthorityKeyIdentifier):
            builder = builder.add_extension(extension.value, critical=extension.critical)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    middle = builder.add_extension(identifier, critical=False).sign(authority.key, hashes.SHA256())
    leaf = make_leaf(Pair(middle, below.key), "order", (), DOMAIN, clock.now())
    install(certs, "chained", [leaf.certificate, middle], leaf.key)
    client = stranger(certs)
    client.load_cert_chain(certs / "chained.pem", certs / "chained.key")
    with pytest.raises(ssl.SSLCertVerificationError, match="path length constraint exceeded"):
        handshake(listener(certs, clock), client)


@pytest.mark.parametrize(
    ("usage", "server_refuses"), [(ExtendedKeyUsageOID.SERVER_AUTH, True), (ExtendedKeyUsageOID.CLIENT_AUTH, False)]
)
def test_a_certificate_is_good_only_for_its_purpose(
    certs: Path,
    clock: Clock,
    usage: x509.ObjectIdentifier,
    server_refuses: bool,  # noqa: FBT001
) -> None:
    now = clock.now()
    put_leaf(certs, "half", [identity("half")], now - 60, now + DAY, usage)
    server, client = listener(certs, clock), caller(certs, clock).context()
    (client if server_refuses else server).load_cert_chain(certs / "half.pem", certs / "half.key")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"(unsuitable|unsupported) certificate purpose"):
        handshake(server, client)
