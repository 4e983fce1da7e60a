"""Keys and certificates as a container finds them: root's, readable by a group, in a folder that cannot be written."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from ordermgmt.pki.files import ensure
from ordermgmt.security.pem import is_private

ROOT, SERVICE = 0, 10001


def status(mode: int, owner: int) -> os.stat_result:
    return os.stat_result((0o100000 | mode, 1, 1, 1, owner, SERVICE, 1, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "owner", "user", "private"),
    [
        (0o600, SERVICE, SERVICE, True),
        (0o400, SERVICE, SERVICE, True),
        (0o440, ROOT, SERVICE, True),
        (0o640, ROOT, SERVICE, True),
        (0o440, SERVICE, SERVICE, False),
        (0o440, ROOT, ROOT, False),
        (0o460, ROOT, SERVICE, False),
        (0o450, ROOT, SERVICE, False),
        (0o444, ROOT, SERVICE, False),
        (0o404, ROOT, SERVICE, False),
        (0o440, SERVICE + 1, SERVICE, False),
    ],
)
def test_whose_secret_a_file_is(
    monkeypatch: pytest.MonkeyPatch, mode: int, owner: int, user: int, *, private: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert is_private(status(mode, owner)) is private


def test_good_certificates_need_nothing_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = (["order"], ["localhost"], "ordermgmt.local", time.time())
    ensure(tmp_path, *arguments)
    (tmp_path / "ca.key").unlink()

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    for change in ("unlink", "replace", "write_bytes", "chmod"):
        monkeypatch.setattr(Path, change, refuse)
    assert ensure(tmp_path, *arguments) == []
