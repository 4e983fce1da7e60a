"""Certificates of running services: swapped as a whole, renewed in time, and an authority replaced step by step."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from ordermgmt.config import SuiteConfig
from ordermgmt.errors import StartError
from ordermgmt.pki.files import KEEP_OLD, TRUST_FIRST, ensure, issue, replace_authority, rotate
from ordermgmt.renewal import CHECK, Renewal
from ordermgmt.security.credentials import Credentials
from ordermgmt.security.pem import read_certificates
from ordermgmt.security.tls import Credential, load_credential
from ordermgmt.supervision.bells import Bell
from ordermgmt.testing.clocks import START, VirtualClock
from ordermgmt.threads import InlineThreads

DOMAIN = "ordermgmt.local"
SERVICES = ("gateway", "order")
NAMES = ("localhost",)
DAY = 86_400.0


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    ensure(tmp_path, SERVICES, NAMES, DOMAIN, START)
    return tmp_path


def serials(certs: Path) -> list[int]:
    return [read_certificates(certs / f"{name}.pem")[0].serial_number for name in SERVICES]


async def test_a_credential_is_swapped_with_all_that_is_made_of_it(certs: Path) -> None:
    credentials = Credentials(lambda: load_credential(certs, "order", DOMAIN))
    serial = credentials.derive(lambda credential: credential.certificate.serial_number)
    before = serial()
    assert await credentials.reload(InlineThreads())
    assert (serial(), credentials.swapped.rings) == (before, 0)
    issue(certs, "order", NAMES, DOMAIN, START)
    assert serial() == before
    assert await credentials.reload(InlineThreads())
    assert serial() == credentials.current.certificate.serial_number != before
    assert credentials.swapped.rings == 1


async def test_the_last_good_credential_is_kept(certs: Path) -> None:
    fails = False

    def make(credential: Credential) -> str:
        if fails:
            msg = "no context can be made of it"
            raise StartError(msg)
        return credential.thumbprint

    credentials = Credentials(lambda: load_credential(certs, "order", DOMAIN))
    first, second = credentials.derive(lambda credential: credential.thumbprint), credentials.derive(make)
    before = credentials.current
    issue(certs, "order", NAMES, DOMAIN, START)
    fails = True
    assert not await credentials.reload(InlineThreads())
    assert (credentials.current, first(), second()) == (before, before.thumbprint, before.thumbprint)
    (certs / "order.pem").write_text("rubbish")
    fails = False
    assert not await credentials.reload(InlineThreads())
    assert (credentials.current, first(), second()) == (before, before.thumbprint, before.thumbprint)


def test_all_certificates_are_issued_again_or_only_some(certs: Path) -> None:
    before = serials(certs)
    assert len(rotate(certs, NAMES, DOMAIN, START, only=["order"])) == 1
    assert [old == new for old, new in zip(before, serials(certs), strict=True)] == [True, False]
    assert len(rotate(certs, NAMES, DOMAIN, START)) == 2
    (certs / "ca.key").unlink()
    with pytest.raises(StartError, match=r"ca\.key is not on this machine"):
        rotate(certs, NAMES, DOMAIN, START)


def test_an_authority_is_replaced_in_steps(certs: Path) -> None:
    old = read_certificates(certs / "ca.pem")[0]
    replace_authority(certs, NAMES, DOMAIN, START)
    with pytest.raises(StartError, match=r"have 60 s left to trust it first"):
        rotate(certs, NAMES, DOMAIN, START)
    assert ensure(certs, SERVICES, NAMES, DOMAIN, START + TRUST_FIRST - 1, settle=TRUST_FIRST) == []
    then = START + TRUST_FIRST
    assert len(ensure(certs, SERVICES[:1], NAMES, DOMAIN, then, settle=TRUST_FIRST)) == 1
    # order's certificate is still of the old one, so that stays for ever
    assert ensure(certs, SERVICES[:1], NAMES, DOMAIN, then + 2 * KEEP_OLD, settle=TRUST_FIRST) == []
    assert old in read_certificates(certs / "ca.pem")
    then += 2 * KEEP_OLD
    assert len(ensure(certs, SERVICES, NAMES, DOMAIN, then, settle=TRUST_FIRST)) == 1
    assert ensure(certs, SERVICES, NAMES, DOMAIN, then + KEEP_OLD - 1, settle=TRUST_FIRST) == []
    assert "old authority is dropped" in ensure(certs, SERVICES, NAMES, DOMAIN, then + KEEP_OLD)[0]
    assert len(read_certificates(certs / "ca.pem")) == 1
    assert load_credential(certs, "order", DOMAIN).authorities == read_certificates(certs / "ca.pem")


async def test_a_running_suite_notices_files_signals_and_time(certs: Path, autojump_clock: trio.abc.Clock) -> None:
    changed = Bell()
    suite = SuiteConfig(certs=str(certs), names=NAMES, trust_domain=DOMAIN)
    renewal = Renewal(suite, SERVICES, VirtualClock(), InlineThreads(), changed)
    async with trio.open_nursery() as nursery:
        await nursery.start(renewal.run)
        await trio.sleep(10)
        assert changed.rings == 0
        issue(certs, "order", NAMES, DOMAIN, START)
        await trio.sleep(1)
        assert changed.rings == 1
        before = serials(certs)
        renewal.rotate()
        await trio.sleep(0.5)
        assert not set(before) & set(serials(certs))
        assert changed.rings == 2
        replace_authority(certs, NAMES, DOMAIN, VirtualClock().now())
        await trio.sleep(2 * TRUST_FIRST)
        assert all(load_credential(certs, name, DOMAIN).authorities for name in SERVICES)
        await trio.sleep(2 * CHECK + 1)
        assert len(read_certificates(certs / "ca.pem")) == 1
        nursery.cancel_scope.cancel()


async def test_a_machine_without_the_authority_only_reads(certs: Path, autojump_clock: trio.abc.Clock) -> None:
    (certs / "ca.key").unlink()
    changed, before = Bell(), serials(certs)
    suite = SuiteConfig(certs=str(certs), names=NAMES, trust_domain=DOMAIN)
    renewal = Renewal(suite, SERVICES, VirtualClock(), InlineThreads(), changed)
    async with trio.open_nursery() as nursery:
        await nursery.start(renewal.run)
        renewal.rotate()
        await trio.sleep(1)
        assert (changed.rings, serials(certs)) == (1, before)
        nursery.cancel_scope.cancel()
