"""The judge of the crash test: it must see what it is there to see."""

from __future__ import annotations

import pytest

from tests.crash.books import Stock, drift
from tests.crash.ledger import Content, Finding, Ledger, Outcome

OLD, NEW, ODD = (Content(name, (("books", "a", qty),)) for name, qty in (("old", 2), ("new", 3), ("odd", 4)))
OK, REFUSED, UNKNOWN = Outcome.OK, Outcome.REFUSED, Outcome.UNKNOWN


def ledger(*told: tuple[Content | None, Outcome]) -> Ledger:
    made = Ledger()
    for content, outcome in told:
        made.record("1", content, outcome)
    return made


@pytest.mark.parametrize(
    ("told", "found", "finding"),
    [
        pytest.param([(OLD, OK)], OLD, None, id="created"),
        pytest.param([(OLD, OK)], None, Finding.LOST, id="a create is lost"),
        pytest.param([(OLD, REFUSED)], None, None, id="refused"),
        pytest.param([(OLD, REFUSED)], OLD, Finding.LOST, id="refused, and done"),
        pytest.param([(OLD, OK), (NEW, OK)], NEW, None, id="updated"),
        pytest.param([(OLD, OK), (NEW, OK)], OLD, Finding.LOST, id="an update is lost"),
        pytest.param([(OLD, OK), (NEW, REFUSED)], NEW, Finding.LOST, id="an update was refused, and done"),
        pytest.param([(OLD, OK), (None, OK)], None, None, id="cancelled"),
        pytest.param([(OLD, OK), (None, OK)], OLD, Finding.BACK, id="a cancelled order is back"),
        pytest.param([(OLD, UNKNOWN)], None, None, id="an unknown create that was not done"),
        pytest.param([(OLD, UNKNOWN)], OLD, None, id="an unknown create that was done"),
        pytest.param([(OLD, OK), (NEW, UNKNOWN)], OLD, None, id="an unknown update that was not done"),
        pytest.param([(OLD, OK), (NEW, UNKNOWN)], NEW, None, id="an unknown update that was done"),
        pytest.param([(OLD, OK), (NEW, UNKNOWN)], ODD, Finding.LOST, id="neither old nor new"),
        pytest.param([(OLD, OK), (NEW, UNKNOWN)], None, Finding.LOST, id="neither of two that are there"),
        pytest.param([(OLD, OK), (None, UNKNOWN)], None, None, id="an unknown cancel that was done"),
    ],
)
def test_what_was_told_and_what_is_there(
    told: list[tuple[Content | None, Outcome]], found: Content | None, finding: Finding | None
) -> None:
    findings = ledger(*told).settle({} if found is None else {"1": found})
    assert [kind for kind, _ in findings] == ([] if finding is None else [finding])


def test_what_was_found_is_certain_from_then_on() -> None:
    book = ledger((OLD, OK), (NEW, UNKNOWN))
    assert book.settle({"1": NEW}) == []
    assert book.settled == {"new": 1}
    ((finding, _),) = book.settle({"1": OLD})
    assert finding is Finding.LOST


def test_nobody_can_go_on_from_an_unknown_outcome() -> None:
    with pytest.raises(ValueError, match="order 1 has a change of unknown outcome"):
        ledger((OLD, UNKNOWN), (NEW, OK))


def test_of_a_contended_order_all_is_possible_that_somebody_tried() -> None:
    book = Ledger()
    book.contend("all-1", OLD, OK)
    book.contend("all-1", NEW, REFUSED)
    book.contend("all-1", None, UNKNOWN)
    assert book.settle({}) == []
    book.contend("all-1", OLD, OK)
    assert book.settle({"all-1": OLD}) == []
    ((finding, line),) = book.settle({"all-1": NEW})
    assert (finding, line.endswith("which nobody asked for")) == (Finding.LOST, True)


@pytest.mark.parametrize(
    ("stock", "exact"),
    [
        (Stock(added=10, moved=-2, qty=8), True),
        (Stock(added=10, moved=-2, qty=7), False),
        (Stock(added=9, moved=-2, qty=8), False),
        (Stock(added=10, moved=-3, qty=7), False),
        (Stock(added=1, moved=-2, qty=-1), False),
    ],
)
def test_every_piece_is_accounted_for(stock: Stock, *, exact: bool) -> None:
    assert (drift({"1": OLD}, {("books", "a"): stock}) == []) is exact


def test_pieces_of_an_item_that_is_not_in_stock_are_drift() -> None:
    assert drift({"1": OLD}, {}) == ["books/a is held by orders and not in stock"]
