"""What the figures of several processes come to, while these end and begin anew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.telemetry.metrics import BOUNDS, Figure
from ordermgmt.telemetry.sums import Sum, add_up

BUCKETS = len(BOUNDS) + 1
WORKERS = ("order-1", "order-2", "order-3")


def commits(value: float) -> Figure:
    return Figure("commits_total", "counter", "", value)


def values(total: Sum, *telling: str) -> dict[str, float]:
    return {figure.name: figure.value for figure in total.total(telling)}


def test_counters_and_histograms_are_added_label_by_label() -> None:
    one = (1,) + (0,) * (BUCKETS - 1)
    two = (0, 3) + (1,) * (BUCKETS - 2)
    told = [
        [Figure("calls", "histogram", "", 0.5, {"to": "sts", "what": "keys"}, one), commits(2)],
        [Figure("calls", "histogram", "", 2.0, {"what": "keys", "to": "sts"}, two), commits(3)],
        [Figure("calls", "histogram", "", 7.0, {"what": "keys", "to": "inventory"}, one)],
    ]
    sts, count, inventory = add_up(told)
    assert (sts.value, sts.counts) == (2.5, (1, 3) + (1,) * (BUCKETS - 2))
    assert (count.value, inventory.value, inventory.counts) == (5, 7.0, one)


@pytest.mark.parametrize(("together", "expected"), [("highest", 5.0), ("lowest", 0.0), ("sum", 7.0)])
def test_a_gauge_is_what_it_says_that_it_is_of_several(together: str, expected: float) -> None:
    told = [[Figure("age", "gauge", "", value, together=together)] for value in (2.0, 0.0, 5.0)]  # type: ignore[arg-type]
    assert [figure.value for figure in add_up(told)] == [expected]


def test_what_an_ended_process_had_counted_stays_but_not_what_it_measured() -> None:
    total = Sum()
    age = Figure("age", "gauge", "", 50.0)
    total.note("order-1", 0, 1, [commits(10), age])
    total.note("order-2", 0, 1, [commits(5), Figure("age", "gauge", "", 3.0)])
    assert values(total, "order-1", "order-2") == {"commits_total": 15, "age": 50.0}
    assert values(total, "order-2") == {"commits_total": 15, "age": 3.0}
    total.note("order-1", 1, 2, [commits(1)])
    assert values(total, "order-1", "order-2") == {"commits_total": 16, "age": 3.0}
    total.note("order-1", 2, 3, [commits(2)])
    assert values(total) == {"commits_total": 18}


def test_an_answer_that_comes_after_a_newer_one_changes_nothing() -> None:
    total = Sum()
    total.note("order", 1, 3, [commits(7)])
    total.note("order", 1, 2, [commits(6)])
    total.note("order", 0, 1, [commits(90)])
    assert values(total, "order") == {"commits_total": 7}


@given(st.lists(st.tuples(st.sampled_from(WORKERS), st.booleans(), st.integers(0, 5), st.booleans())))
def test_a_sum_never_falls_and_is_what_was_told(steps: list[tuple[str, bool, int, bool]]) -> None:
    """Each step: a process counts some more, perhaps as a new one, and perhaps nobody hears of it."""
    total, counted = Sum(), dict.fromkeys(WORKERS, 0)
    lives, heard = dict.fromkeys(WORKERS, 0), dict.fromkeys(WORKERS, 0)
    ended = before = 0.0
    for question, (name, restarted, more, told) in enumerate(steps):
        if restarted:
            ended += heard[name]
            lives[name], counted[name], heard[name] = lives[name] + 1, 0, 0
        counted[name] += more
        if told:
            heard[name] = counted[name]
            total.note(name, lives[name], question, [commits(counted[name])])
        now = values(total).get("commits_total", 0.0)
        assert now == ended + sum(heard.values())
        assert now >= before
        before = now
