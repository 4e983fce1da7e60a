"""What is made, when it is made again, and what the certificates say."""

from __future__ import annotations

import ipaddress
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from ordermgmt.errors import StartError
from ordermgmt.pki.authority import AUTHORITY_LIFE, LEAF_LIFE
from ordermgmt.pki.files import describe, ensure, issue
from ordermgmt.security.pem import read_certificates
from ordermgmt.security.tls import load_credential
from tests.unit.pki.pki_setup import DAY, DOMAIN, NOW, SERVICES, again, contents


def test_the_first_start_makes_everything_and_keeps_keys_private(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "certs"
    made = again(directory)
    assert [line.split(":")[0] for line in made] == [str(directory / f"{name}.pem") for name in ("ca", *SERVICES)]
    assert sorted(contents(directory)) == ["ca.key", "ca.pem", "gateway.key", "gateway.pem", "order.key", "order.pem"]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.glob("*.key")} == {0o600}


def test_a_folder_from_a_checkout_is_closed_to_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o775)
    again(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_keys_have_their_mode_before_they_have_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: dict[str, int] = {}
    real = os.open

    def record(path: Any, flags: int, mode: int = 0o777, **rest: Any) -> int:
        descriptor = real(path, flags, mode, **rest)
        if flags & os.O_CREAT:
            opened[Path(path).name] = stat.S_IMODE(os.fstat(descriptor).st_mode)
        return descriptor

    monkeypatch.setattr(os, "open", record)
    again(tmp_path / "certs")
    keys = {name: mode for name, mode in opened.items() if ".key" in name}
    assert len(keys) == 3
    assert set(keys.values()) == {0o600}


def test_a_second_start_changes_nothing(certs: Path) -> None:
    before = contents(certs)
    assert again(certs, NOW + 59 * DAY) == []
    assert contents(certs) == before


def test_what_the_authority_says_of_itself(certs: Path) -> None:
    (certificate,) = read_certificates(certs / "ca.pem")
    extensions = certificate.extensions
    basic = extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    constraints = extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert constraints.value.excluded_subtrees is None
    assert set(constraints.value.permitted_subtrees or ()) == {
        x509.DNSName("localhost"),
        x509.DNSName(DOMAIN),
        x509.IPAddress(ipaddress.ip_network("127.0.0.0/8")),
        x509.IPAddress(ipaddress.ip_network("::1/128")),
        x509.UniformResourceIdentifier(DOMAIN),
    }
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == AUTHORITY_LIFE
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)


def test_what_a_service_certificate_says(tmp_path: Path) -> None:
    again(tmp_path, names=("shop.example", "192.0.2.7", "LOCALHOST"))
    certificate = read_certificates(tmp_path / "order.pem")[0]
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["shop.example", "localhost", DOMAIN]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7", "127.0.0.1", "::1"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://ordermgmt.local/order"]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == LEAF_LIFE


def test_no_two_services_share_a_key_or_a_serial_number(certs: Path) -> None:
    found = [read_certificates(path)[0] for path in certs.glob("*.pem")]
    assert len({certificate.serial_number for certificate in found}) == 3
    assert len({certificate.public_key().public_numbers() for certificate in found}) == 3  # type: ignore[union-attr]


@pytest.mark.parametrize(("days", "reason"), [(59, None), (61, "expires soon"), (91, "out of its dates")])
def test_a_certificate_is_issued_again_in_the_last_third_of_its_life(
    certs: Path, days: int, reason: str | None
) -> None:
    before = contents(certs)
    made = again(certs, NOW + days * DAY)
    after = contents(certs)
    assert before["ca.pem"] == after["ca.pem"]
    if reason is None:
        assert made == []
        return
    assert len(made) == len(SERVICES)
    assert all(reason in line for line in made)
    assert before["order.key"] != after["order.key"]
    assert load_credential(certs, "order", DOMAIN).certificate.not_valid_after_utc.timestamp() > NOW + days * DAY
    assert again(certs, NOW + days * DAY) == []


def test_a_permitted_name_that_is_new_is_put_into_new_certificates(tmp_path: Path) -> None:
    again(tmp_path, names=("shop.example",))
    authority = (tmp_path / "ca.pem").read_bytes()
    made = again(tmp_path, names=("www.shop.example", "127.0.0.9"))
    assert [line.partition(": ")[2].split(",")[0] for line in made] == ["names changed"] * 2
    assert (tmp_path / "ca.pem").read_bytes() == authority


@pytest.mark.parametrize("name", ["other.example", "notlocalhost", "192.0.2.1", "2001:db8::1"])
def test_a_name_that_the_authority_does_not_permit_is_one_clear_line(certs: Path, name: str) -> None:
    before = contents(certs)
    with pytest.raises(StartError, match=f"ca.pem does not permit {name}"):
        again(certs, names=("localhost", name))
    assert contents(certs) == before


@pytest.mark.parametrize(
    "name", ["*.example", "a b", "", "-a.example", "a..b", "x" * 64, "ex_ample", "1.2.3", "fe80::1%1"]
)
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StartError, match="neither a DNS name nor an IP address"):
        again(tmp_path, names=(name,))
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("domain", ["Ordermgmt.Local", "127.0.0.1", "a/b", ""])
def test_a_trust_domain_that_is_none_is_refused(tmp_path: Path, domain: str) -> None:
    with pytest.raises(StartError):
        ensure(tmp_path, SERVICES, (), domain, NOW)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("name", ["ca", "../order", "Order", "", "a.b"])
def test_only_a_service_name_can_be_issued(certs: Path, name: str) -> None:
    with pytest.raises(StartError, match="can name no certificate"):
        issue(certs, name, (), DOMAIN, NOW)
    with pytest.raises(StartError, match="can name no certificate"):
        ensure(certs, (name,), (), DOMAIN, NOW)


def test_issue_makes_a_new_pair_even_over_one_that_is_good(certs: Path) -> None:
    old = contents(certs)
    assert "asked for" in issue(certs, "order", ("localhost",), DOMAIN, NOW)
    assert contents(certs)["order.key"] != old["order.key"]
    issue(certs, "worker", ("localhost",), DOMAIN, NOW)
    assert load_credential(certs, "worker", DOMAIN).name == "worker"


def test_describe_lists_the_authority_and_every_service(certs: Path) -> None:
    rows = describe(certs, NOW + 1.5 * DAY)
    assert [(row.name, row.role, row.uri, row.days_left) for row in rows] == [
        ("ca", "authority", None, 3648),
        ("gateway", "service", "spiffe://ordermgmt.local/gateway", 88),
        ("order", "service", "spiffe://ordermgmt.local/order", 88),
    ]
    assert rows[1].names == ("localhost", DOMAIN, "127.0.0.1", "::1")
    assert rows[2].thumbprint == load_credential(certs, "order", DOMAIN).thumbprint
    assert describe(certs, NOW + 91 * DAY)[1].days_left < 0
