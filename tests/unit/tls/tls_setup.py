"""Handshakes in memory."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from ordermgmt.clock import Clock, SystemClock
from ordermgmt.net import ClientTls, PeerRefused
from ordermgmt.pki.authority import Pair
from ordermgmt.pki.pairs import install
from ordermgmt.security.peer import Peer, identify
from ordermgmt.security.pem import read_certificates, read_private_key
from ordermgmt.security.tls import (
    NO_CHECK_TIME,
    client_tls,
    load_credential,
    server_context,
)

DOMAIN = "ordermgmt.local"


SERVICES = ("gateway", "order", "inventory")


DAY = 86400.0


VIRTUAL = 4_000_000_000.0  # the year 2096: no certificate of the real present is good then, nor the other way round


@dataclass
class VirtualClock:
    time: float = VIRTUAL

    def now(self) -> float:
        return self.time


class SubclassedSystemClock(SystemClock):
    """What somebody might pass who wants the flag."""


def authority_of(certs: Path) -> Pair:
    return Pair(read_certificates(certs / "ca.pem")[0], read_private_key(certs / "ca.key"))


def listener(certs: Path, clock: Clock, name: str = "inventory") -> ssl.SSLContext:
    return server_context(load_credential(certs, name, DOMAIN), client_certificates=True, clock=clock)


def caller(certs: Path, clock: Clock, name: str = "order", expected: str = "inventory") -> ClientTls:
    return client_tls(load_credential(certs, name, DOMAIN), expected=expected, clock=clock)


def stranger(certs: Path) -> ssl.SSLContext:
    """A client that trusts us, whatever the dates, and has no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= NO_CHECK_TIME
    context.load_verify_locations(certs / "ca.pem")
    return context


def handshake(
    server: ssl.SSLContext, client: ssl.SSLContext, hostname: str | None = "localhost"
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Shake hands in memory and return (server, client). Raises what the side that refuses raises."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        server.wrap_bio(up, down, server_side=True),
        client.wrap_bio(down, up, server_hostname=hostname),
    ]
    waiting = list(reversed(ends))
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(end)
        if not waiting:
            return ends[0], ends[1]
    pytest.fail("the handshake does not end")


def connect(certs: Path, clock: Clock, server: ssl.SSLContext, client: ClientTls) -> Peer:
    """Connect as the server and the outbound client do: handshake, then each side checks the other."""
    served, called = handshake(server, client.context(), client.server_hostname)
    client.check(called.getpeercert(binary_form=True))
    authorities = read_certificates(certs / "ca.pem")
    return identify(served.getpeercert(binary_form=True), authorities, DOMAIN, clock.now())


def put_leaf(
    certs: Path,
    name: str,
    names: list[x509.GeneralName],
    start: float,
    end: float,
    usage: x509.ObjectIdentifier | None = None,
) -> None:
    """What whoever holds the authority's key could make: a certificate for any names and dates."""
    authority = authority_of(certs)
    key = ec.generate_private_key(ec.SECP256R1())
    usages = [usage] if usage else [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(start, UTC))
        .not_valid_after(datetime.fromtimestamp(end, UTC))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    install(certs, name, [certificate], key)


def identity(name: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(f"spiffe://{DOMAIN}/{name}")


def refused_by(clock: Clock) -> type[Exception]:
    """Who refuses dates: OpenSSL when it may read its clock, and we when it may not."""
    return ssl.SSLCertVerificationError if isinstance(clock, SystemClock) else PeerRefused
