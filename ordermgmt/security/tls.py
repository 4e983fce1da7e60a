"""The only place that builds an SSLContext.

What all contexts share, and why:

- TLS 1.2 or newer; for 1.2 only ECDHE with an AEAD, so every session has forward secrecy (RFC 9325 section 4.2).
- No renegotiation and no compression (RFC 9325 sections 3.3 and 3.5).
- No session tickets: a resumed session skips the certificates, so trust that was removed would live on in it. Our own
  clients keep connections instead, and a browser's full handshake costs a quarter of a millisecond.
- X509_STRICT for our own chains, which are made to pass it; a foreign server's chain only has to pass the default.
- OpenSSL reads the real clock. Under any clock but `SystemClock`, and only there, it is told not to look at dates, and
  `peer` checks them by the injected clock; in production `peer` checks them again on top of OpenSSL.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ordermgmt.clock import Clock, SystemClock
from ordermgmt.errors import StartError
from ordermgmt.net.tls_seam import ClientTls, PeerRefused
from ordermgmt.security.binding import thumbprint
from ordermgmt.security.peer import check_dates, identify, issued_by, parse_presented, spiffe_id, uris
from ordermgmt.security.pem import belong_together, read_certificates, read_private_key

__all__ = [
    "Credential",
    "PublicTls",
    "ServiceTls",
    "client_tls",
    "load_credential",
    "public_client_context",
    "server_context",
]

SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK"
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which the ssl module does not name


@dataclass(frozen=True, slots=True)
class Credential:
    """The certificate of a service, its key, and the authorities that it trusts: one value, swapped as a whole."""

    name: str
    certificate: x509.Certificate
    certificate_path: Path
    key_path: Path
    authorities: tuple[x509.Certificate, ...]
    authorities_path: Path
    trust_domain: str
    thumbprint: str
    """The certificate's `x5t#S256`."""


def load_credential(directory: Path, name: str, trust_domain: str) -> Credential:
    """Read and check `<name>.pem`, `<name>.key` and `ca.pem` of `directory`.

    Dates are not looked at: they pass while a service runs, so each handshake checks them. Raises StartError with one
    line if a file cannot be read, is not what it should be, or does not fit the others.
    """
    certificate_path, key_path = directory / f"{name}.pem", directory / f"{name}.key"
    authorities_path = directory / "ca.pem"
    authorities = read_certificates(authorities_path)
    certificate = read_certificates(certificate_path)[0]
    if not belong_together(certificate, read_private_key(key_path)):
        msg = f"{certificate_path} is not the certificate of {key_path}"
        raise StartError(msg)
    if not any(issued_by(certificate, authority) for authority in authorities):
        msg = f"{certificate_path} was not issued by {authorities_path}"
        raise StartError(msg)
    identity = spiffe_id(trust_domain, name)
    if uris(certificate) != [identity]:
        msg = f"{certificate_path} is not the certificate of {identity}"
        raise StartError(msg)
    return Credential(
        name=name,
        certificate=certificate,
        certificate_path=certificate_path,
        key_path=key_path,
        authorities=authorities,
        authorities_path=authorities_path,
        trust_domain=trust_domain,
        thumbprint=thumbprint(certificate.public_bytes(Encoding.DER)),
    )


def server_context(
    credential: Credential, *, client_certificates: bool, alpn: Sequence[str] = ("http/1.1",), clock: Clock
) -> ssl.SSLContext:
    """Build the context of a listener. With `client_certificates` a client without one of ours gets no connection.

    Who the client is, and whether its certificate is in its dates by `clock`, is for `peer.identify` to say. Raises
    StartError if the files have changed since the credential was loaded.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context, clock)
    context.num_tickets = 0
    context.set_alpn_protocols(list(alpn))
    _present(context, credential)
    if client_certificates:
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(cadata=_der(credential.authorities))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class ServiceTls:
    """A connection to a service of ours: it presents our certificate, and demands that service's identity.

    Host names are not verified, as every certificate of the suite holds the same ones: a name would prove nothing that
    the identity does not. `check` demands the identity, and no connection is used without it, whatever the address.
    """

    def __init__(self, credential: Credential, *, expected: str, clock: Clock) -> None:
        self._credential = credential
        self._expected = expected
        self._clock = clock
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_flags |= ssl.VERIFY_X509_STRICT
        self._context.load_verify_locations(cadata=_der(credential.authorities))
        self._context.set_alpn_protocols(["http/1.1"])
        _harden(self._context, clock)
        _present(self._context, credential)

    def context(self) -> ssl.SSLContext:
        """Return the context, built once: that takes longer than a handshake."""
        return self._context

    @property
    def server_hostname(self) -> str | None:
        """None: the host of the address, and only as a hint to the server."""
        return None

    def check(self, certificate: bytes | None) -> None:
        """Check that the server is the expected service, by the injected clock. Raises PeerRefused."""
        trusted = self._credential
        peer = identify(certificate, trusted.authorities, trusted.trust_domain, self._clock.now())
        if peer.name != self._expected:
            detail = f"meant {spiffe_id(trusted.trust_domain, self._expected)}, reached {peer.uri}"
            raise PeerRefused("wrong-identity", detail)


def client_tls(credential: Credential, *, expected: str, clock: Clock) -> ClientTls:
    """Return the TLS side of a client of the service `expected`. Raises StartError as `server_context` does."""
    return ServiceTls(credential, expected=expected, clock=clock)


class PublicTls:
    """A connection to a server that is not ours, known by its host name and the authorities in a file."""

    def __init__(self, authorities_file: Path, *, clock: Clock) -> None:
        self._clock = clock
        self._context = public_client_context(authorities_file, clock=clock)

    def context(self) -> ssl.SSLContext:
        """Return the context, built once."""
        return self._context

    @property
    def server_hostname(self) -> str | None:
        """None: the host of the address, which the context verifies."""
        return None

    def check(self, certificate: bytes | None) -> None:
        """Check the dates of the server's certificate by the injected clock. Raises PeerRefused."""
        check_dates(parse_presented(certificate), self._clock.now())


def public_client_context(authorities_file: Path, *, clock: Clock) -> ssl.SSLContext:
    """Build a context for a foreign https server: the chain and the host name are verified, no certificate is sent.

    Raises StartError if `authorities_file` (PEM) cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=_der(read_certificates(authorities_file)))
    context.set_alpn_protocols(["http/1.1"])
    _harden(context, clock)
    return context


def _harden(context: ssl.SSLContext, clock: Clock) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(SUITES)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
    if not isinstance(clock, SystemClock):
        context.verify_flags |= NO_CHECK_TIME


def _present(context: ssl.SSLContext, credential: Credential) -> None:
    """Give `context` the credential's own certificate, and not one that was put in its place meanwhile."""
    try:
        context.load_cert_chain(credential.certificate_path, credential.key_path)
    except (OSError, ssl.SSLError) as error:
        msg = f"cannot use {credential.certificate_path} with {credential.key_path}: {error}"
        raise StartError(msg) from error
    if read_certificates(credential.certificate_path)[0] != credential.certificate:
        msg = f"{credential.certificate_path} has changed since it was loaded"
        raise StartError(msg)


def _der(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.DER) for certificate in certificates)
