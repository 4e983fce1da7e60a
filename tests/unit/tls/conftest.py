"""Fixtures of TLS: under a virtual clock and under the system clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordermgmt.clock import Clock, SystemClock
from ordermgmt.pki.files import ensure
from tests.unit.tls.tls_setup import (
    DOMAIN,
    SERVICES,
    VirtualClock,
)


@pytest.fixture(params=["virtual", "system"])
def clock(request: pytest.FixtureRequest) -> Clock:
    return VirtualClock() if request.param == "virtual" else SystemClock()


@pytest.fixture
def certs(tmp_path: Path, clock: Clock) -> Path:
    ensure(tmp_path, SERVICES, ("localhost",), DOMAIN, clock.now())
    return tmp_path
