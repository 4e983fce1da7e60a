"""Damaged folders: one clear line, and nothing overwritten."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ordermgmt.errors import StartError
from ordermgmt.pki.files import issue, replace_authority
from ordermgmt.security.pem import read_certificates
from ordermgmt.security.tls import load_credential
from tests.unit.pki.pki_setup import DAY, DOMAIN, NOW, again, contents


def damage_mode(certs: Path) -> None:
    (certs / "order.key").chmod(0o644)


def damage_certificate(certs: Path) -> None:
    (certs / "order.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def damage_key(certs: Path) -> None:
    (certs / "order.key").write_bytes(b"")


def damage_pair(certs: Path) -> None:
    shutil.copy(certs / "gateway.key", certs / "order.key")


def damage_issuer(certs: Path) -> None:
    other = certs.parent / "other"
    again(other)
    shutil.copy(other / "ca.pem", certs)
    shutil.copy(other / "ca.key", certs)


def remove_key(certs: Path) -> None:
    (certs / "order.key").unlink()


def remove_authority(certs: Path) -> None:
    (certs / "ca.pem").unlink()


def empty_authority(certs: Path) -> None:
    (certs / "ca.pem").write_bytes(b"")


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (damage_mode, r"order\.key is open to other users \(mode 0644\)"),
    (damage_certificate, r"order\.pem is not a PEM certificate"),
    (damage_key, r"order\.key is not an unencrypted PEM private key"),
    (damage_pair, r"order\.pem is not the certificate of .*order\.key"),
    (damage_issuer, r"(order|gateway)\.pem was not issued by .*ca\.pem"),
    (remove_key, r"cannot read .*order\.key: No such file"),
    (remove_authority, r"cannot read .*ca\.pem: No such file"),
    (empty_authority, r"ca\.pem is not a PEM certificate"),
]


@pytest.mark.parametrize(("damage", "line"), DAMAGES)
def test_damage_is_one_clear_line_and_nothing_is_overwritten(
    certs: Path, damage: Callable[[Path], None], line: str
) -> None:
    damage(certs)
    before = contents(certs)
    for attempt in (lambda: again(certs), lambda: load_credential(certs, "order", DOMAIN)):
        with pytest.raises(StartError, match=line) as refused:
            attempt()
        assert "\n" not in str(refused.value)
    assert contents(certs) == before


def test_a_key_of_another_authority_is_not_used(certs: Path) -> None:
    other = certs.parent / "other"
    again(other)
    shutil.copy(other / "ca.key", certs)
    with pytest.raises(StartError, match=r"ca\.key is the key of no certificate in .*ca\.pem"):
        again(certs)


def test_a_lost_authority_is_not_replaced_while_its_certificates_are_there(certs: Path) -> None:
    (certs / "ca.pem").unlink()
    (certs / "ca.key").unlink()
    before = contents(certs)
    with pytest.raises(StartError, match=r"ca\.pem is missing: put it back"):
        again(certs)
    assert contents(certs) == before


def test_a_certificate_of_one_service_is_not_another_service(certs: Path) -> None:
    for kind in ("pem", "key"):
        shutil.copy(certs / f"gateway.{kind}", certs / f"order.{kind}")
    with pytest.raises(StartError, match=r"order\.pem is not the certificate of spiffe://ordermgmt.local/order"):
        load_credential(certs, "order", DOMAIN)


def test_a_machine_without_the_key_of_the_authority_uses_what_it_was_given(certs: Path) -> None:
    (certs / "ca.key").unlink()
    assert again(certs, NOW + 80 * DAY) == []
    with pytest.raises(StartError, match=r"gateway\.pem has to be issued \(out of its dates\), but .*ca\.key is not"):
        again(certs, NOW + 91 * DAY)
    with pytest.raises(StartError, match=r"ca\.key is not on this machine"):
        issue(certs, "worker", (), DOMAIN, NOW)


def test_an_expired_authority_is_said_and_not_replaced(certs: Path) -> None:
    before = contents(certs)
    with pytest.raises(StartError, match=r"ca\.pem is out of its dates"):
        again(certs, NOW + 3651 * DAY)
    assert contents(certs) == before


def test_a_certificate_does_not_outlive_its_authority(certs: Path) -> None:
    late = NOW + 3640 * DAY
    again(certs, late)
    authority = read_certificates(certs / "ca.pem")[0]
    assert read_certificates(certs / "order.pem")[0].not_valid_after_utc == authority.not_valid_after_utc
    assert again(certs, late) == []


def test_a_replaced_authority_stays_trusted_while_its_certificates_are_renewed(certs: Path) -> None:
    old = read_certificates(certs / "ca.pem")[0]
    replace_authority(certs, ("shop.example",), DOMAIN, NOW + DAY)
    assert read_certificates(certs / "ca.pem")[1:] == (old,)
    assert load_credential(certs, "order", DOMAIN).certificate.issuer == old.subject
    assert all("new authority" in line for line in again(certs, NOW + DAY, ("shop.example",)))
    assert again(certs, NOW + DAY, ("shop.example",)) == []
    replace_authority(certs, ("shop.example",), DOMAIN, NOW + 3650 * DAY)
    assert old not in read_certificates(certs / "ca.pem")
