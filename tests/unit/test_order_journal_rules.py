"""The rules of the journal as tables."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ordermgmt import errors
from ordermgmt.errors import Conflict, Internal, OutcomeUnknown, Unavailable, UnprocessableContent
from ordermgmt.order.contract import Item
from ordermgmt.order.domain import Actor, StoredOrder
from ordermgmt.order.journal import (
    ABANDON_AFTER,
    Ask,
    Entry,
    Plan,
    State,
    back_off,
    is_given_up,
    judge,
    keep_for,
    outcome,
    plan,
)

ALICE = Actor("sts", "alice")
HELD = StoredOrder("1", "One", (Item("books", "a", 2), Item("books", "b", 1)), "sts", "alice", 7, 0.0, 0.0)
WANTED = (Item("books", "a", 5),)
ENTRY = Entry(
    id="op",
    kind="create",
    order_id="1",
    plan=Plan("One", (), {}, None),
    version=8,
    actor=ALICE,
    key=None,
    created_at=100.0,
    state=State.PENDING,
    reason=None,
    holder="me",
    lease_until=115.0,
    attempt=1,
)


@pytest.mark.parametrize(
    ("answer", "first", "later", "decided"),
    [
        (None, State.APPLIED, State.APPLIED, True),
        (Conflict("out-of-stock"), State.REFUSED, State.REFUSED, True),
        (Conflict("stock-limit"), State.REFUSED, State.REFUSED, True),
        (UnprocessableContent("unknown-item"), State.REFUSED, State.REFUSED, True),
        (Conflict("operation-abandoned"), State.ABANDONED, State.ABANDONED, True),
        (Conflict("operation-mismatch"), State.STUCK, State.STUCK, False),
        (Unavailable("inventory-unreachable"), State.ABANDONED, State.PENDING, False),
        (OutcomeUnknown("inventory-no-answer"), State.PENDING, State.PENDING, False),
        (Internal("inventory-request"), State.STUCK, State.STUCK, False),
    ],
)
def test_what_an_attempt_comes_to(answer: errors.Error | None, first: State, later: State, decided: bool) -> None:  # noqa: FBT001
    for attempt, state in ((True, first), (False, later)):
        verdict = judge(answer, first=attempt)
        assert (verdict.state, verdict.decided) == (state, decided)
        assert verdict.reason is answer or answer is not None


def test_an_abandoned_change_is_503_for_whoever_waits() -> None:
    assert isinstance(judge(Conflict("operation-abandoned"), first=False).reason, Unavailable)


def test_plans() -> None:
    assert plan(Ask("create", "2", ALICE, name="Two", items=WANTED), None) == Plan(
        "Two", WANTED, {("books", "a"): -5}, None
    )
    assert plan(Ask("update", "1", ALICE, name="Two", items=WANTED), HELD) == Plan(
        "Two", WANTED, {("books", "a"): -3, ("books", "b"): 1}, 7
    )
    assert plan(Ask("cancel", "1", ALICE), HELD) == Plan("One", HELD.items, {("books", "a"): 2, ("books", "b"): 1}, 7)


@pytest.mark.parametrize(
    ("ask", "held", "kind"),
    [
        (Ask("create", "1", ALICE, name="Two", items=WANTED), HELD, errors.Conflict),
        (Ask("update", "1", ALICE, name="Two", items=WANTED), None, errors.NotFound),
        (Ask("cancel", "1", ALICE), None, errors.NotFound),
        (Ask("update", "1", ALICE, if_match='"6"', name="Two", items=WANTED), HELD, errors.PreconditionFailed),
        (Ask("cancel", "1", ALICE, if_match='"6"'), HELD, errors.PreconditionFailed),
    ],
)
def test_what_cannot_be_planned(ask: Ask, held: StoredOrder | None, kind: type[errors.Error]) -> None:
    with pytest.raises(kind):
        plan(ask, held)


def test_pauses_grow_to_a_quarter_of_a_minute() -> None:
    assert [back_off(attempt) for attempt in (1, 2, 3, 4, 7, 8, 10_000)] == [1, 2, 4, 8, 15, 15, 15]


def test_only_a_repeated_attempt_gives_up_and_only_after_its_time() -> None:
    late = ENTRY.created_at + ABANDON_AFTER
    again = replace(ENTRY, attempt=2)
    assert is_given_up(again, late)
    assert not is_given_up(again, late - 0.001)
    assert not is_given_up(ENTRY, late)


def test_an_entry_answers_as_it_ended() -> None:
    assert outcome(replace(ENTRY, state=State.APPLIED)) == 8
    for state in (State.REFUSED, State.ABANDONED):
        with pytest.raises(Conflict, match="out-of-stock"):
            outcome(replace(ENTRY, state=state, reason=Conflict("out-of-stock")))
    for state in (State.PENDING, State.STUCK):
        with pytest.raises(OutcomeUnknown) as unknown:
            outcome(replace(ENTRY, state=state, reason=Conflict("operation-mismatch")))
        assert unknown.value.retry_after == 1
    assert keep_for(ENTRY) == 600
