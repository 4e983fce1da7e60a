"""Fixtures of the PKI."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordermgmt.pki.files import ensure
from tests.unit.pki.pki_setup import DOMAIN, NOW, SERVICES


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    directory = tmp_path / "certs"
    ensure(directory, SERVICES, ("localhost",), DOMAIN, NOW)
    return directory
