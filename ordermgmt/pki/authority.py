"""A private certificate authority that can certify nothing but the services of one suite.

Its name constraints are critical, so whoever steals its key cannot speak for any other host to those who trust it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ordermgmt.errors import StartError
from ordermgmt.security.peer import spiffe_id

__all__ = [
    "AUTHORITY_LIFE",
    "LEAF_LIFE",
    "Pair",
    "alternative_names",
    "issued_at",
    "make_authority",
    "make_leaf",
    "permits",
]

AUTHORITY_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=90)
BACKDATED = timedelta(minutes=5)
"""So that a machine whose clock is behind accepts a certificate that was made just now."""

LOOPBACK = ("127.0.0.0/8", "::1/128")
_DNS_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_authority(names: Sequence[str], trust_domain: str, now: float) -> Pair:
    """Make an authority for services that are reached by `names` (DNS names, IP addresses).

    `now` is in seconds since 1970. Raises StartError if a name is neither a DNS name nor an IP address.
    """
    if _host(trust_domain) != x509.DNSName(trust_domain):
        msg = f"the trust domain {trust_domain!r} is not a DNS name in lower case"
        raise StartError(msg)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, trust_domain),
            x509.NameAttribute(NameOID.COMMON_NAME, "ordermgmt certificate authority"),
        ]
    )
    start = _time(now)
    builder = _builder(subject, subject, key, key, start, start + AUTHORITY_LIFE)
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.NameConstraints(_subtrees(names, trust_domain), None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Pair(certificate, key)


def make_leaf(authority: Pair, service: str, names: Sequence[str], trust_domain: str, now: float) -> Pair:
    """Make the certificate of a service, for serving and for calling. It does not outlive its authority.

    Raises StartError if a name is neither a DNS name nor an IP address.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, service)])
    start = _time(now)
    end = min(start + LEAF_LIFE, issuer.not_valid_after_utc)
    builder = _builder(subject, issuer.subject, key, authority.key, max(start, issuer.not_valid_before_utc), end)
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(alternative_names(service, names, trust_domain), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return Pair(certificate, key)


def issued_at(certificate: x509.Certificate) -> float:
    """Return when a certificate of ours was made, in seconds since 1970."""
    return (certificate.not_valid_before_utc + BACKDATED).timestamp()


def alternative_names(service: str, names: Sequence[str], trust_domain: str) -> x509.SubjectAlternativeName:
    """Return what the certificate of `service` is for: the configured names, loopback, and its one identity."""
    hosts = dict.fromkeys(_host(name) for name in [*names, "localhost", trust_domain, "127.0.0.1", "::1"])
    identity = x509.UniformResourceIdentifier(spiffe_id(trust_domain, service))
    return x509.SubjectAlternativeName([*hosts, identity])


def permits(authority: x509.Certificate, name: x509.GeneralName) -> bool:
    """Tell whether the name constraints of `authority` let it certify `name` (RFC 5280 section 4.2.1.10)."""
    try:
        constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return True
    return any(_within(name, subtree) for subtree in constraints.permitted_subtrees or ())


def _within(name: x509.GeneralName, subtree: x509.GeneralName) -> bool:
    if isinstance(name, x509.DNSName) and isinstance(subtree, x509.DNSName):
        return name.value == subtree.value or name.value.endswith(f".{subtree.value}")
    if isinstance(name, x509.IPAddress) and isinstance(subtree, x509.IPAddress):
        return ipaddress.ip_address(str(name.value)) in ipaddress.ip_network(str(subtree.value))
    if isinstance(name, x509.UniformResourceIdentifier) and isinstance(subtree, x509.UniformResourceIdentifier):
        return name.value.startswith(spiffe_id(subtree.value, ""))
    return False


def _subtrees(names: Sequence[str], trust_domain: str) -> list[x509.GeneralName]:
    subtrees: dict[x509.GeneralName, None] = {}
    for host in map(_host, [*names, "localhost", trust_domain]):
        if isinstance(host, x509.IPAddress):
            subtrees[x509.IPAddress(ipaddress.ip_network(str(host.value)))] = None
        else:
            subtrees[host] = None
    for network in LOOPBACK:
        subtrees[x509.IPAddress(ipaddress.ip_network(network))] = None
    return [*subtrees, x509.UniformResourceIdentifier(trust_domain)]


def _host(text: str) -> x509.DNSName | x509.IPAddress:
    name = text.lower()
    try:
        if "%" not in text:  # a zone is of one machine only
            return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    if _DNS_NAME.fullmatch(name) is None:
        msg = f"{text!r} can stand in no certificate: it is neither a DNS name nor an IP address"
        raise StartError(msg)
    return x509.DNSName(name)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    start: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _time(now: float) -> datetime:
    return datetime.fromtimestamp(int(now), UTC) - BACKDATED
