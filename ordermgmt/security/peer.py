"""From a certificate that was presented to the caller that it names.

OpenSSL has checked the chain in the handshake. What is decided here is who it is, and again whether the leaf
and its issuer are in their dates: by the injected clock, because OpenSSL can only read the real one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from ordermgmt.net.tls_seam import PeerRefused
from ordermgmt.security.binding import thumbprint

__all__ = [
    "Peer",
    "check_dates",
    "identify",
    "is_service_name",
    "issued_by",
    "parse_presented",
    "spiffe_id",
    "uris",
]

_SERVICE_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection, as its certificate names it."""

    name: str | None
    """The service, or None: a certificate that we trust but that names no service of this trust domain."""
    uri: str | None
    """The one URI of the certificate, or None if it has none or several."""
    thumbprint: str
    """The certificate's `x5t#S256`."""


def is_service_name(text: str) -> bool:
    """Tell whether `text` may name a service: lower-case letters, digits and hyphens, at most 32."""
    return _SERVICE_NAME.fullmatch(text) is not None


def spiffe_id(trust_domain: str, service: str) -> str:
    """Return the URI that is the identity of a service."""
    return f"spiffe://{trust_domain}/{service}"


def uris(certificate: x509.Certificate) -> list[str]:
    """Return the URIs among the subject alternative names. Raises ValueError if those are malformed."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from error
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Tell whether `authority` signed `certificate` under its own name."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def parse_presented(der: bytes | None) -> x509.Certificate:
    """Parse what the other end presented. Raises PeerRefused if that is nothing, or no certificate."""
    if der is None:
        raise PeerRefused("no-certificate")
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion) as error:
        raise PeerRefused("unreadable-certificate", str(error)) from error


def check_dates(certificate: x509.Certificate, now: float, whose: str = "certificate") -> None:
    """Check that `now` is in the validity of `certificate`, both ends included (RFC 5280 section 4.1.2.5).

    Raises PeerRefused with the code `<whose>-expired` or `<whose>-not-yet-valid`.
    """
    time = datetime.fromtimestamp(int(now), UTC)
    if time < certificate.not_valid_before_utc:
        code = f"{whose}-not-yet-valid"
        raise PeerRefused(code, f"valid from {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}")
    if time > certificate.not_valid_after_utc:
        code = f"{whose}-expired"
        raise PeerRefused(code, f"valid until {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}")


def identify(der: bytes | None, authorities: Sequence[x509.Certificate], trust_domain: str, now: float) -> Peer:
    """Return whom the certificate `der` names, at `now` (seconds since 1970).

    Exactly one URI is an identity; a certificate with none, several, or one of another trust domain names nobody.
    Raises PeerRefused without a certificate, if it was issued by none of `authorities`, or if it or all of its
    issuers are out of their dates.
    """
    certificate = parse_presented(der)
    check_dates(certificate, now)
    _check_issuers([authority for authority in authorities if issued_by(certificate, authority)], now)
    try:
        found = uris(certificate)
    except ValueError as error:
        raise PeerRefused("unreadable-certificate", str(error)) from error
    uri = found[0] if len(found) == 1 else None
    return Peer(_service(uri, trust_domain), uri, thumbprint(certificate.public_bytes(Encoding.DER)))


def _check_issuers(issuers: Sequence[x509.Certificate], now: float) -> None:
    """Check that there is an issuer in its dates: an authority that was renewed has two certificates."""
    refused = PeerRefused("unknown-issuer")
    for issuer in issuers:
        try:
            check_dates(issuer, now, "issuer")
        except PeerRefused as error:
            refused = error
        else:
            return
    raise refused


def _service(uri: str | None, trust_domain: str) -> str | None:
    prefix = spiffe_id(trust_domain, "")
    if uri is None or not uri.startswith(prefix):
        return None
    service = uri.removeprefix(prefix)
    return service if is_service_name(service) else None
