from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.sts.throttle import (
    PER_ACCOUNT,
    PER_ADDRESS,
    PER_PAIR,
    Doubling,
    Leaking,
    Limit,
    Place,
    Tally,
    limits_on,
    wait,
)

NOW = 1_700_000_000.0


def charge(limit: Limit, times: int, now: float = NOW) -> Tally:
    tally = Tally()
    for _ in range(times):
        tally = limit.charge(tally, now)
    return tally


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(0, 0), (4, 0), (5, 1), (6, 2), (7, 4), (14, 512), (15, 900), (16, 900), (5000, 900)]
)
def test_after_five_attempts_each_one_doubles_the_wait(attempts: int, seconds: int) -> None:
    tally = charge(PER_PAIR, attempts)
    assert PER_PAIR.wait(tally, NOW) == seconds
    assert PER_PAIR.wait(tally, NOW + seconds) == 0


def test_a_day_without_attempts_forgets_them_and_a_right_password_at_once() -> None:
    tally = charge(PER_PAIR, 20)
    assert PER_PAIR.wait(PER_PAIR.charge(tally, NOW + 86399), NOW + 86399) == 900
    assert PER_PAIR.charge(tally, NOW + 86400) == Tally(1, NOW + 86400)
    assert PER_PAIR.wait(PER_PAIR.refund(tally, NOW), NOW) == 0
    assert PER_PAIR.kept_until(tally) == NOW + 86400


@pytest.mark.parametrize("limit", [PER_ADDRESS, PER_ACCOUNT])
def test_a_hundred_at_once_and_then_one_for_each_that_leaks_out(limit: Leaking) -> None:
    assert limit.wait(charge(limit, 99), NOW) == 0
    full = charge(limit, 100)
    assert limit.wait(full, NOW) == limit.period
    assert limit.wait(full, NOW + limit.period) == 0
    assert limit.wait(limit.charge(full, NOW + limit.period), NOW + limit.period) == limit.period
    assert limit.wait(limit.refund(full, NOW), NOW) == 0
    assert limit.charge(full, limit.kept_until(full)) == Tally(1, limit.kept_until(full))


@pytest.mark.parametrize("limit", [PER_PAIR, PER_ADDRESS, PER_ACCOUNT])
def test_a_clock_that_goes_back_makes_nobody_free(limit: Limit) -> None:
    tally = charge(limit, 100)
    assert limit.wait(tally, NOW - 3600) >= limit.wait(tally, NOW)
    assert limit.charge(tally, NOW - 3600).at == NOW


@given(
    st.sampled_from([PER_PAIR, PER_ADDRESS, PER_ACCOUNT, Doubling(1, 8, 60), Leaking(2, 7)]),
    st.lists(st.floats(0, 2000), min_size=1, max_size=60),
)
def test_whoever_waits_as_told_gets_through_and_nobody_sooner(limit: Limit, gaps: list[float]) -> None:
    tally, now = Tally(), NOW
    for gap in gaps:
        now += gap
        seconds = limit.wait(tally, now)
        assert 0 <= seconds <= 900
        if seconds:
            assert limit.wait(tally, now + seconds / 2) > 0
            now += math.ceil(seconds)
            assert limit.wait(tally, now) <= 1e-6
        tally = limit.charge(tally, now)


def test_what_is_known_decides_what_is_counted() -> None:
    place = Place("192.0.2.1", "browser")

    def counted(*, browser: bool = False, address: bool = False, at: Place = place) -> list[Limit]:
        return list(limits_on("alice", at, known_browser=browser, known_address=address).values())

    assert counted() == [PER_PAIR, PER_ADDRESS, PER_ACCOUNT]
    assert counted(address=True) == [PER_PAIR, PER_ADDRESS]
    assert counted(browser=True) == [PER_PAIR]
    assert counted(browser=True, at=Place("192.0.2.1")) == [PER_PAIR, PER_ADDRESS, PER_ACCOUNT]


def test_keys_tell_accounts_and_places_apart_and_name_neither() -> None:
    keys = [
        key
        for account in ("alice", "bob", "\ud800")
        for place in (Place("192.0.2.1", "b1"), Place("192.0.2.2", "b2"))
        for known in (False, True)
        for key in limits_on(account, place, known_browser=known, known_address=False)
    ]
    assert len(set(keys)) == 6 + 6 + 2 + 3  # pairs, browsers, addresses, accounts
    assert not [key for key in keys if "alice" in key or "192" in key]


def test_the_longest_wait_counts_in_whole_seconds() -> None:
    limits: dict[str, Limit] = {"a": PER_PAIR, "b": PER_ADDRESS}
    assert wait(limits, {}, NOW) == 0
    assert wait(limits, {"a": charge(PER_PAIR, 5), "b": charge(PER_ADDRESS, 100)}, NOW + 0.5) == 10
