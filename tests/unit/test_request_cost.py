"""What a request may cost: function calls, which no other work of the machine changes."""

from __future__ import annotations

import pytest

from benchmarks.calls import calls_per_request
from ordermgmt.net import short_cut
from tests.leaks.watch import WATCH

CLIENTS, REQUESTS = 8, 8
BOUNDS = {"create": 2750.0, "get": 1050.0, "update": 2695.0, "gateway create": 4390.0, "gateway get": 2475.0}
"""Calls, a tenth above what was counted with Python 3.11. A newer one takes fewer."""


@pytest.fixture(autouse=True)
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count no calls of the tests themselves."""
    monkeypatch.setattr(WATCH, "paused", True)


@pytest.mark.parametrize(("work", "bound"), BOUNDS.items())
def test_a_request_costs_no_more_than_it_did(work: str, bound: float) -> None:
    assert calls_per_request(work, clients=CLIENTS, requests=REQUESTS) <= bound


def test_the_bound_sees_what_a_framework_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short_cut, "ENABLED", False)
    assert calls_per_request("get", clients=CLIENTS, requests=REQUESTS) > BOUNDS["get"]
