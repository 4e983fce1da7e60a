"""Crashes while files are written, healed by the next start."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ordermgmt.errors import StartError
from ordermgmt.security.pem import read_certificates, read_private_key
from ordermgmt.security.tls import load_credential
from tests.unit.pki.pki_setup import DAY, DOMAIN, NOW, SERVICES, again, contents


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
