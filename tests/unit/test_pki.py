from __future__ import annotations

import ipaddress
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from ordermgmt.errors import StartError
from ordermgmt.pki.authority import AUTHORITY_LIFE, LEAF_LIFE
from ordermgmt.pki.files import describe, ensure, issue, replace_authority
from ordermgmt.security.pem import read_certificates, read_private_key
from ordermgmt.security.tls import load_credential

NOW = 1_800_000_000.0
DAY = 86400.0
DOMAIN = "ordermgmt.local"
SERVICES = ("gateway", "order")


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    directory = tmp_path / "certs"
    ensure(directory, SERVICES, ("localhost",), DOMAIN, NOW)
    return directory


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def again(directory: Path, now: float = NOW, names: tuple[str, ...] = ("localhost",)) -> list[str]:
    return ensure(directory, SERVICES, names, DOMAIN, now)


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


class Crash(BaseException):
    """The machine stops here."""


@pytest.mark.parametrize("renewing", [False, True])
def test_a_crash_at_any_step_is_healed_by_the_next_start(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    renewing: bool,  # noqa: FBT001
) -> None:
    steps, now = 0, NOW
    while True:
        directory = tmp_path / str(steps)
        if renewing:
            again(directory)
            now = NOW + 61 * DAY
        else:
            directory.mkdir()
        authority = contents(directory).get("ca.key")
        with monkeypatch.context() as patch:
            crashed = stop_after(steps, patch, directory, now)
        again(directory, now)
        assert not list(directory.glob(".*"))
        assert authority in (None, (directory / "ca.key").read_bytes())
        for service in SERVICES:
            load_credential(directory, service, DOMAIN)
        assert again(directory, now) == []
        if not crashed:
            break
        steps += 1
    assert steps > 10


def stop_after(steps: int, patch: pytest.MonkeyPatch, directory: Path, now: float) -> bool:
    """Run `ensure` until it has written, synced or renamed `steps` times; tell whether it got that far."""
    left = steps

    def stopping(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left == 0:
                raise Crash
            left -= 1
            return real(*args, **kwargs)

        return call

    for owner, name in ((os, "fsync"), (os, "fdopen"), (Path, "replace")):
        patch.setattr(owner, name, stopping(getattr(owner, name)))
    try:
        again(directory, now)
    except Crash:
        return True
    return False


def test_half_of_a_certificate_left_by_a_crash_is_thrown_away(certs: Path) -> None:
    (certs / ".order.pem.new").write_bytes((certs / "order.pem").read_bytes()[:100])
    before = (certs / "order.pem").read_bytes()
    assert again(certs) == []
    assert not list(certs.glob(".*"))
    assert (certs / "order.pem").read_bytes() == before


def test_what_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "certs").write_bytes(b"")
    with pytest.raises(StartError, match=r"cannot write .*certs: File exists"):
        again(tmp_path / "certs")


def test_the_key_that_is_read_is_the_one_that_was_made(certs: Path) -> None:
    key = read_private_key(certs / "order.key")
    assert key.public_key() == read_certificates(certs / "order.pem")[0].public_key()
    assert isinstance(key.curve, ec.SECP256R1)
