"""Steps of a request: gathered across tasks, told in a header, read from what may be anything."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.net.steps import MAX_STEPS, Step, gather, parse_steps, render_steps, step


async def test_steps_of_tasks_that_work_for_a_request(autojump_clock: trio.abc.Clock) -> None:
    async def work(name: str, seconds: float) -> None:
        with step(name):
            await trio.sleep(seconds)

    with step("before"):
        pass
    steps = gather()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work, "long", 2)
        nursery.start_soon(work, "short", 1)
    assert steps == [Step("short", 1.0), Step("long", 2.0)]
    assert render_steps(steps) == "short;dur=1000.000, long;dur=2000.000"


async def test_a_step_that_fails_is_told_and_there_are_not_too_many() -> None:
    steps = gather()
    for _ in range(MAX_STEPS + 1):
        with pytest.raises(LookupError), step("failing"):
            raise LookupError
    assert len(steps) == MAX_STEPS


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("intent;dur=0.412, inventory;dur=2.310", [Step("intent", 0.000412), Step("inventory", 0.00231)]),
        ("cache;desc=hit, intent;dur=1", [Step("intent", 0.001)]),
        ("intent;dur=NaN, outcome;dur=-1, x;dur=1e9, Ünter;dur=1", []),
        ("", []),
    ],
)
def test_reading(text: str, steps: list[Step]) -> None:
    assert parse_steps(text) == steps


@given(st.lists(st.tuples(st.from_regex(r"\A[a-z-]{1,32}\Z"), st.floats(0, 9e5)), max_size=MAX_STEPS))
def test_what_was_rendered_is_read(found: list[tuple[str, float]]) -> None:
    steps = [Step(*each) for each in found]
    read = parse_steps(render_steps(steps))
    assert [each.name for each in read] == [each.name for each in steps]
    assert all(abs(a.seconds - b.seconds) < 1e-6 for a, b in zip(read, steps, strict=True))


@given(st.text(max_size=200))
def test_anything_is_read(text: str) -> None:
    assert len(parse_steps(text)) <= MAX_STEPS
