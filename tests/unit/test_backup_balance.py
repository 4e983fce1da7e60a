"""The arithmetic of stock and orders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.backups.balance import Account, balance
from ordermgmt.inventory.contract import Balance

BOOK, LAPTOP = ("books", "1"), ("electronics", "2")


def test_nothing_has_moved() -> None:
    assert balance([Balance(*BOOK, 10, 0, 10)], {}, []) == [Account(*BOOK, 10, 0, 10, 0, 0)]


@pytest.mark.parametrize(
    ("row", "held", "decided", "agrees", "missing"),
    [
        ((10, -4, 6), 4, [], True, 0),
        ((10, -4, 6), 3, [-1], True, 0),  # taken for a change that no order shows yet
        ((10, -4, 6), 7, [+3], True, 0),  # given back for one
        ((10, -4, 6), 3, [], False, 1),
        ((10, -4, 6), 5, [], False, -1),
        ((10, -4, 6), 4, [-1], False, -1),
        ((10, -4, 7), 3, [], False, 0),  # all are there, but inventory does not agree with itself
        ((10, 0, 6), 4, [], False, 0),
    ],
)
def test_every_piece_is_somewhere(
    row: tuple[int, int, int], held: int, decided: list[int], missing: int, *, agrees: bool
) -> None:
    (account,) = balance([Balance(*BOOK, *row)], {BOOK: held}, [{BOOK: delta} for delta in decided])
    assert (account.agrees, account.missing) == (agrees, missing)


def test_goods_that_only_orders_know_are_missing() -> None:
    accounts = balance([Balance(*LAPTOP, 1, 0, 1)], {BOOK: 2}, [{BOOK: -1}])
    assert [(account.code, account.agrees, account.missing) for account in accounts] == [
        ("1", False, -3),
        ("2", True, 0),
    ]


PIECES = st.integers(0, 50)


@given(st.lists(PIECES), st.lists(PIECES), st.lists(PIECES), st.sampled_from([-1, 0, 1]))
def test_one_piece_more_or_less_is_noticed(added: list[int], held: list[int], taken: list[int], fault: int) -> None:
    moved = -sum(held) - sum(taken)
    row = Balance(*BOOK, sum(added), moved, sum(added) + moved)
    (account,) = balance([row], {BOOK: sum(held) + fault}, [{BOOK: -pieces} for pieces in taken])
    assert account.agrees is (fault == 0)
    assert account.missing == -fault
