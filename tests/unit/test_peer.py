from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ordermgmt.net import PeerRefused
from ordermgmt.pki.authority import AUTHORITY_LIFE, LEAF_LIFE, Pair, make_authority, make_leaf
from ordermgmt.security.binding import confirmation, matches, thumbprint
from ordermgmt.security.peer import Peer, identify, is_service_name

NOW = 1_800_000_000.0
DOMAIN = "ordermgmt.local"
AUTHORITY = make_authority((), DOMAIN, NOW)
ORDER = make_leaf(AUTHORITY, "order", (), DOMAIN, NOW)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def leaf_with(*uris: str, authority: Pair = AUTHORITY) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    start = datetime.fromtimestamp(NOW, UTC) - timedelta(hours=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
    )
    if uris:
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return der(builder.sign(authority.key, hashes.SHA256()))


def test_a_certificate_of_a_service_names_it() -> None:
    presented = der(ORDER.certificate)
    peer = identify(presented, [AUTHORITY.certificate], DOMAIN, NOW)
    assert peer == Peer("order", "spiffe://ordermgmt.local/order", thumbprint(presented))


@pytest.mark.parametrize(
    "uris",
    [
        (),
        ("spiffe://ordermgmt.local/order", "spiffe://ordermgmt.local/gateway"),
        ("spiffe://ordermgmt.local/order", "spiffe://ordermgmt.local/order"),
        ("spiffe://other.local/order",),
        ("spiffe://ordermgmt.local.evil/order",),
        ("spiffe://ordermgmt.local/",),
        ("spiffe://ordermgmt.local/order/",),
        ("spiffe://ordermgmt.local/order/gateway",),
        ("spiffe://ordermgmt.local/order?x=1",),
        ("spiffe://ordermgmt.local/Order",),
        ("spiffe://ordermgmt.local/order\n",),
        ("SPIFFE://ordermgmt.local/order",),
        ("https://ordermgmt.local/order",),
    ],
)
def test_a_certificate_without_exactly_one_identity_of_ours_names_nobody(uris: tuple[str, ...]) -> None:
    peer = identify(leaf_with(*uris), [AUTHORITY.certificate], DOMAIN, NOW)
    assert peer.name is None
    assert peer.uri == (uris[0] if len(uris) == 1 else None)


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        (ORDER.certificate.not_valid_before_utc.timestamp() - 1, "certificate-not-yet-valid"),
        (ORDER.certificate.not_valid_before_utc.timestamp(), None),
        (ORDER.certificate.not_valid_after_utc.timestamp(), None),
        (ORDER.certificate.not_valid_after_utc.timestamp() + 1, "certificate-expired"),
    ],
)
def test_a_certificate_is_good_between_its_dates_both_included(moment: float, code: str | None) -> None:
    if code is None:
        identify(der(ORDER.certificate), [AUTHORITY.certificate], DOMAIN, moment)
        return
    with pytest.raises(PeerRefused) as refused:
        identify(der(ORDER.certificate), [AUTHORITY.certificate], DOMAIN, moment)
    assert refused.value.code == code


def test_an_expired_issuer_is_refused_though_the_certificate_is_in_its_dates() -> None:
    old = make_authority((), DOMAIN, NOW - (AUTHORITY_LIFE + timedelta(days=1)).total_seconds())
    with pytest.raises(PeerRefused) as refused:
        identify(leaf_with("spiffe://ordermgmt.local/order", authority=old), [old.certificate], DOMAIN, NOW)
    assert refused.value.code == "issuer-expired"


def test_an_issuer_that_is_not_valid_yet_is_refused() -> None:
    early = make_authority((), DOMAIN, NOW + 86400)
    with pytest.raises(PeerRefused) as refused:
        identify(leaf_with("spiffe://ordermgmt.local/order", authority=early), [early.certificate], DOMAIN, NOW)
    assert refused.value.code == "issuer-not-yet-valid"


def test_one_issuer_in_its_dates_is_enough() -> None:
    old = make_authority((), DOMAIN, NOW - (AUTHORITY_LIFE + timedelta(days=1)).total_seconds())
    builder = x509.CertificateBuilder(
        issuer_name=old.certificate.subject,
        subject_name=old.certificate.subject,
        public_key=old.key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=datetime.fromtimestamp(NOW, UTC),
        not_valid_after=datetime.fromtimestamp(NOW, UTC) + LEAF_LIFE,
    )
    renewed = builder.sign(old.key, hashes.SHA256())
    presented = leaf_with("spiffe://ordermgmt.local/order", authority=old)
    assert identify(presented, [old.certificate, renewed], DOMAIN, NOW).name == "order"


def test_an_authority_of_the_same_name_with_another_key_is_unknown() -> None:
    impostor = make_authority((), DOMAIN, NOW)
    assert impostor.certificate.subject == AUTHORITY.certificate.subject
    presented = der(make_leaf(impostor, "order", (), DOMAIN, NOW).certificate)
    with pytest.raises(PeerRefused) as refused:
        identify(presented, [AUTHORITY.certificate], DOMAIN, NOW)
    assert refused.value.code == "unknown-issuer"


def test_a_foreign_certificate_is_refused_whatever_it_calls_itself() -> None:
    foreign = trustme.CA().issue_cert("localhost").cert_chain_pems[0].bytes()
    presented = der(x509.load_pem_x509_certificate(foreign))
    moment = datetime.now(UTC).timestamp()
    with pytest.raises(PeerRefused) as refused:
        identify(presented, [make_authority((), DOMAIN, moment).certificate], DOMAIN, moment)
    assert refused.value.code == "unknown-issuer"


@pytest.mark.parametrize(("presented", "code"), [(None, "no-certificate"), (b"0\x03abc", "unreadable-certificate")])
def test_no_certificate_is_nobody(presented: bytes | None, code: str) -> None:
    with pytest.raises(PeerRefused) as refused:
        identify(presented, [AUTHORITY.certificate], DOMAIN, NOW)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("name", "good"),
    [("order", True), ("a-1", True), ("a" * 32, True), ("a" * 33, False), ("", False), ("1a", False), ("a/b", False),
     ("a\n", False), ("ä", False), ("../ca", False)],
)  # fmt: skip
def test_service_names(name: str, good: bool) -> None:  # noqa: FBT001
    assert is_service_name(name) is good


def test_thumbprint_is_the_one_of_rfc_8705_section_3_1() -> None:
    # SHA-256 of nothing, in base64url without padding: a value that is known from elsewhere.
    assert thumbprint(b"") == "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"


@pytest.mark.parametrize("cnf", [None, "x5t#S256", [], {}, {"x5t#S256": None}, {"x5t#S256": "other"}, {"jkt": "mine"}])
def test_a_token_that_is_not_bound_to_this_certificate_does_not_match(cnf: object) -> None:
    assert not matches(cnf, "mine")


def test_a_bound_token_matches_its_certificate() -> None:
    assert matches(confirmation("mine"), "mine")
