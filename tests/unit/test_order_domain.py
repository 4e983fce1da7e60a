"""The rules of orders."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.errors import NotFound, PreconditionFailed, UnprocessableContent
from ordermgmt.order.contract import Item
from ordermgmt.order.domain import (
    Actor,
    StoredOrder,
    check_if_match,
    check_items,
    etag,
    may_see,
    net_deltas,
    require_visible,
)

KEYS = st.tuples(st.sampled_from(["books", "electronics"]), st.sampled_from(["a", "b", "c"]))
ITEMS = st.dictionaries(KEYS, st.integers(1, 1_000_000)).map(
    lambda table: tuple(Item(category, code, qty) for (category, code), qty in table.items())
)


def order(version: int = 7, owner: tuple[str, str] = ("sts", "alice")) -> StoredOrder:
    return StoredOrder("1", "One", (), *owner, version, 0.0, 0.0)


def held(items: tuple[Item, ...]) -> Counter[tuple[str, str]]:
    return Counter({(item.category, item.code): item.qty for item in items})


@given(ITEMS, ITEMS)
def test_what_leaves_the_stock_is_what_the_order_gains(before: tuple[Item, ...], after: tuple[Item, ...]) -> None:
    deltas = net_deltas(before, after)
    for key in {*held(before), *held(after), *deltas}:
        assert held(before)[key] - deltas.get(key, 0) == held(after)[key]


@given(ITEMS, ITEMS)
def test_only_changes_travel_and_the_way_back_undoes_them(before: tuple[Item, ...], after: tuple[Item, ...]) -> None:
    deltas = net_deltas(before, after)
    assert 0 not in deltas.values()
    assert net_deltas(after, before) == {key: -delta for key, delta in deltas.items()}
    assert net_deltas(before, before) == {}


def test_an_order_takes_from_stock() -> None:
    assert net_deltas((), [Item("books", "a", 2)]) == {("books", "a"): -2}


@given(ITEMS)
def test_an_item_may_be_named_only_once(items: tuple[Item, ...]) -> None:
    check_items(items)
    for item in items:
        with pytest.raises(UnprocessableContent, match=f"{item.category}/{item.code} is named 2 times"):
            check_items([*items, item])


@pytest.mark.parametrize("header", [None, "*", " * ", '"7"', '"6", "7"', '"6","7"'])
def test_if_match_lets_the_current_version_through(header: str | None) -> None:
    check_if_match(header, order(7))
    assert etag(7) == '"7"'


@pytest.mark.parametrize(
    "header",
    [
        '"6"',
        '"77"',
        "7",
        "",
        'W/"7"',  # If-Match compares strongly (RFC 9110 section 13.1.1)
    ],
)
def test_if_match_refuses_any_other_version(header: str) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        check_if_match(header, order(7))
    assert refused.value.code == "version-mismatch"


def test_only_the_owner_and_who_reads_all_orders_may_see_the_history() -> None:
    mine = order(owner=("sts", "alice"))
    assert may_see(mine, Actor("sts", "alice", "gateway"), all_orders=False)
    assert may_see(mine, Actor("sts", "bob"), all_orders=True)
    assert not may_see(mine, Actor("sts", "bob"), all_orders=False)
    assert not may_see(mine, Actor("wso2", "alice"), all_orders=False)


def test_an_order_that_is_not_there_is_not_found() -> None:
    assert require_visible(order(), "1") == order()
    with pytest.raises(NotFound):
        require_visible(None, "1")
