from __future__ import annotations

import ipaddress
import re
import shutil
import ssl
import time
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

import ordermgmt
from ordermgmt.clock import Clock, SystemClock
from ordermgmt.errors import StartError
from ordermgmt.net import ClientTls, PeerRefused
from ordermgmt.pki.authority import Pair, make_authority, make_leaf
from ordermgmt.pki.files import ensure, issue, replace_authority
from ordermgmt.pki.pairs import install
from ordermgmt.security.peer import Peer, identify
from ordermgmt.security.pem import read_certificates, read_private_key
from ordermgmt.security.tls import (
    NO_CHECK_TIME,
    Credential,
    PublicTls,
    client_tls,
    load_credential,
    public_client_context,
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


@pytest.fixture(params=["virtual", "system"])
def clock(request: pytest.FixtureRequest) -> Clock:
    return VirtualClock() if request.param == "virtual" else SystemClock()


@pytest.fixture
def certs(tmp_path: Path, clock: Clock) -> Path:
    ensure(tmp_path, SERVICES, ("localhost",), DOMAIN, clock.now())
    return tmp_path


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
