"""What verifying costs: a known token next to nothing, a new one at most twice its signature check."""

from __future__ import annotations

import pytest

from benchmarks.tokens import ALGORITHMS, Cost, measure

pytestmark = pytest.mark.serial

MAX_HIT = 10.0
"""Microseconds."""
MAX_RATIO = 2.0
ATTEMPTS = 10
"""On a machine that does other things as well, a whole measurement may have no quiet moment."""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_known_token_is_cheap_and_a_new_one_costs_two_signature_checks_at_most(algorithm: str) -> None:
    costs: list[Cost] = []
    while not costs or (len(costs) < ATTEMPTS and not is_cheap(costs[-1])):
        costs.append(measure(algorithm))
    assert is_cheap(costs[-1]), costs


def is_cheap(cost: Cost) -> bool:
    return cost.hit < MAX_HIT and cost.ratio <= MAX_RATIO
