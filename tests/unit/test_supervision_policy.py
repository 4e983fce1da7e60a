from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.supervision.policy import GiveUp, RestartAfter, RestartPolicy

TIMES = st.lists(st.floats(0, 1000), min_size=1, max_size=12).map(sorted)


@pytest.mark.parametrize(
    ("recent", "decision"),
    [
        (1, RestartAfter(0.1)),
        (2, RestartAfter(0.2)),
        (3, RestartAfter(0.4)),
        (4, RestartAfter(0.8)),
        (5, RestartAfter(1.6)),
        (6, GiveUp(6, 60.0)),
    ],
)
def test_default_policy_doubles_the_delay_and_gives_up_at_the_sixth_crash(
    recent: int, decision: RestartAfter | GiveUp
) -> None:
    assert RestartPolicy().decide([100.0] * recent, 100.0) == decision


def test_delay_stops_growing_at_its_maximum() -> None:
    policy = RestartPolicy(max_restarts=5000)
    assert policy.decide([0.0] * 7, 0.0) == RestartAfter(5.0)
    assert policy.decide([0.0] * 5000, 0.0) == RestartAfter(5.0)


def test_crash_exactly_one_window_ago_no_longer_counts() -> None:
    policy = RestartPolicy(max_restarts=1)
    assert policy.decide([0.0, 60.0], 60.0) == RestartAfter(0.1)
    assert policy.decide([0.1, 60.0], 60.0) == GiveUp(2, 60.0)


def test_without_restarts_the_first_crash_is_the_last() -> None:
    assert RestartPolicy(max_restarts=0).decide([7.0], 7.0) == GiveUp(1, 60.0)


@given(TIMES)
def test_gives_up_exactly_if_more_crashes_than_restarts_are_in_the_window(crashes: list[float]) -> None:
    policy = RestartPolicy()
    now = crashes[-1]
    recent = [crash for crash in crashes if now - crash < policy.window]
    decision = policy.decide(crashes, now)
    assert isinstance(decision, GiveUp) == (len(recent) > policy.max_restarts)
    assert decision == policy.decide(recent, now)  # older ones change nothing
    if isinstance(decision, RestartAfter):
        assert policy.first_delay <= decision.seconds <= policy.max_delay


@pytest.mark.parametrize(
    "settings",
    [
        {"first_delay": 0},
        {"first_delay": 6},
        {"factor": 0.5},
        {"window": 0},
        {"max_restarts": -1},
    ],
)
def test_senseless_numbers_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"policy|negative"):
        RestartPolicy(**settings)  # type: ignore[arg-type]
