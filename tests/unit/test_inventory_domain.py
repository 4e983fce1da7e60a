"""The rules of stock."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.errors import Conflict, UnprocessableContent
from ordermgmt.inventory import domain
from ordermgmt.inventory.contract import MAX_QTY, MAX_STOCK, Batch, Goods, Line, Movement, Operation, Outcome
from ordermgmt.inventory.domain import Claim, Key, StoredItem

KEYS = [Key(category, code) for category in ("a", "b") for code in ("1", "2")]
stocks = st.dictionaries(
    st.sampled_from(KEYS), st.one_of(st.integers(0, 5), st.integers(MAX_STOCK - 5, MAX_STOCK)), min_size=1
)
quantities = st.one_of(st.integers(-8, 8), st.integers(-MAX_QTY, MAX_QTY)).filter(bool)
lines = st.builds(lambda key, qty: Line(key.category, key.code, qty), st.sampled_from(KEYS), quantities)
operations = st.lists(lines, min_size=1, max_size=6)


@given(stocks, operations)
def test_all_lines_or_none_and_always_within_bounds(stock: dict[Key, int], asked: list[Line]) -> None:
    before = dict(stock)
    expected = dict(stock)
    for line in asked:
        key = Key(line.category, line.code)
        expected[key] = expected.get(key, -(10**15)) + line.qty
    touched = {Key(line.category, line.code) for line in asked}
    if all(0 <= expected[key] <= MAX_STOCK for key in touched):
        after = domain.apply_deltas(stock, domain.merge(asked))
        assert after == {key: expected[key] for key in touched}
    else:
        with pytest.raises((Conflict, UnprocessableContent)):
            domain.apply_deltas(stock, domain.merge(asked))
    assert stock == before


@given(operations, st.randoms())
def test_the_same_effect_is_the_same_content(asked: list[Line], random: object) -> None:
    shuffled = list(asked)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first = domain.demand(Operation("x", tuple(asked)))
    assert domain.demand(Operation("x", tuple(shuffled), abandon=True)) == first._replace(abandon=True)
    more = domain.demand(Operation("x", (*asked, Line("a", "1", 1))))
    assert more.claim.digest != first.claim.digest


def test_the_refusal_names_the_item_that_is_short() -> None:
    with pytest.raises(Conflict) as caught:
        domain.apply_deltas({KEYS[0]: 5, KEYS[1]: 1}, {KEYS[0]: -5, KEYS[1]: -2})
    assert caught.value.code == "out-of-stock"
    assert caught.value.members == {"category": "a", "code": "2", "available": 1, "requested": 2}


def test_the_refusal_names_the_item_that_is_unknown() -> None:
    with pytest.raises(UnprocessableContent) as caught:
        domain.apply_deltas({KEYS[0]: 0}, {KEYS[0]: -1, KEYS[1]: 1})
    assert caught.value.code == "unknown-item"
    assert caught.value.members == {"category": "a", "code": "2"}


def test_stock_has_a_ceiling() -> None:
    assert domain.apply_deltas({KEYS[0]: MAX_STOCK - 1}, {KEYS[0]: 1}) == {KEYS[0]: MAX_STOCK}
    with pytest.raises(Conflict) as caught:
        domain.apply_deltas({KEYS[0]: MAX_STOCK}, {KEYS[0]: 1})
    assert caught.value.code == "stock-limit"


def test_a_new_item_needs_a_name_and_a_price() -> None:
    item = domain.apply_goods(None, KEYS[0], Goods("x", add=3, name="Pen", price="1.05"))
    assert item == StoredItem(KEYS[0], "Pen", 105, 3)
    for goods in (Goods("x", add=3), Goods("x", name="Pen"), Goods("x", price="1.00")):
        with pytest.raises(UnprocessableContent):
            domain.apply_goods(None, KEYS[0], goods)


def test_restocking_keeps_what_is_not_given() -> None:
    item = StoredItem(KEYS[0], "Pen", 105, 3)
    assert domain.apply_goods(item, KEYS[0], Goods("x", add=2)) == item._replace(qty=5)
    assert domain.apply_goods(item, KEYS[0], Goods("x", price="0.00")) == item._replace(price=0)
    with pytest.raises(Conflict):
        domain.apply_goods(item, KEYS[0], Goods("x", add=MAX_STOCK))


@given(st.integers(0, 10**11 - 1))
def test_prices_survive_the_wire(price: int) -> None:
    text = domain.dollars(price)
    assert domain.cents(text) == price
    assert msgspec.convert({"operation": "x", "price": text}, Goods).price == text


def test_a_known_id_has_its_first_answer_and_only_with_its_content() -> None:
    first = Outcome("x", Conflict("out-of-stock"))
    assert domain.first_answer(("d", first), Claim("x", "d")) is first
    other = domain.first_answer(("d", first), Claim("x", "e"))
    assert other.refusal is not None
    assert other.refusal.code == "operation-mismatch"


ITEM = '{"category": "books", "code": "978-1", "qty": 1}'


@pytest.mark.parametrize(
    "items",
    [
        "",
        ",".join([ITEM] * 101),
        ITEM.replace("1}", "0}"),
        ITEM.replace("1}", "-1}"),
        ITEM.replace("1}", "true}"),
        ITEM.replace("1}", "1.0}"),
        ITEM.replace("1}", '"1"}'),
        ITEM.replace("1}", "1000001}"),
        ITEM.replace("1}", "9" * 5000 + "}"),
        ITEM.replace("1}", '1, "price": 0}'),
        ITEM.replace("books", ""),
        ITEM.replace("books", "books\\n"),
        ITEM.replace("books", "bo\\u0000ks"),
        ITEM.replace("books", "../books"),
        ITEM.replace("books", ".books"),
        ITEM.replace("books", "b\\u00fccher"),
        ITEM.replace("books", "b" * 65),
    ],
)
def test_a_malformed_movement_is_refused(items: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(f'{{"operation": "x", "items": [{items}]}}', type=Movement)


def test_the_largest_movement_is_accepted() -> None:
    items = ",".join([ITEM.replace("1}", "1000000}").replace("books", "b" * 64)] * 100)
    movement = msgspec.json.decode(f'{{"operation": "{"x" * 64}", "items": [{items}]}}', type=Movement)
    assert len(movement.items) == 100


@pytest.mark.parametrize("operation", ["", "x" * 65, "a b", "x\\n", "a/b"])
def test_a_malformed_operation_id_is_refused(operation: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(f'{{"operation": "{operation}", "items": [{ITEM}]}}', type=Movement)


@pytest.mark.parametrize("qty", [0, MAX_QTY + 1, -MAX_QTY - 1])
def test_a_line_of_a_batch_moves_something(qty: int) -> None:
    batch = {"sent_at": 0, "operations": [{"id": "x", "lines": [{"category": "a", "code": "1", "qty": qty}]}]}
    with pytest.raises(msgspec.ValidationError, match=r"operations\[0\]\.lines\[0\]"):
        msgspec.json.decode(msgspec.json.encode(batch), type=Batch)


@pytest.mark.parametrize("price", ["1", "1.0", "01.00", "-1.00", "1.000", "1,00", "1.00\n", "\u0661.00", "NaN"])
def test_a_malformed_price_is_refused(price: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"operation": "x", "price": price}, Goods)
