"""Scopes as strings and lists."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.security.scopes import MAX_SCOPES, parse_scope, render_scope

CHARACTERS = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"\\')
SCOPES = st.frozensets(st.text(CHARACTERS, min_size=1, max_size=128), max_size=MAX_SCOPES)


@given(SCOPES)
def test_what_is_rendered_is_read_back(scopes: frozenset[str]) -> None:
    assert parse_scope(render_scope(scopes)) == scopes
    assert parse_scope(sorted(scopes)) == scopes


@given(st.text(max_size=40))
def test_only_one_space_separates(text: str) -> None:
    try:
        scopes = parse_scope(text)
    except ValueError:
        return
    assert all(set(scope) <= set(CHARACTERS) for scope in scopes)
    assert frozenset(text.split(" ")) - {""} == scopes
    assert "  " not in text
    assert text == text.strip()


@given(st.characters(exclude_characters=CHARACTERS + " "))
def test_no_other_character_separates_or_belongs_to_a_scope(character: str) -> None:
    for value in (f"add_order{character}operate", f"add_order{character}", [f"add_order{character}"]):
        with pytest.raises(ValueError, match="scope"):
            parse_scope(value)


@pytest.mark.parametrize("value", [None, 7, True, {"a": 1}, [["a"]], [7], [None], ["a b"], [""], ("a",), b"a"])
def test_what_is_neither_a_string_nor_a_list_of_scopes_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="scope"):
        parse_scope(value)


def test_the_number_of_scopes_is_bounded() -> None:
    fits = [str(number) for number in range(MAX_SCOPES)]
    assert len(parse_scope(" ".join(fits))) == MAX_SCOPES
    for value in ([*fits, "x"], " ".join([*fits, "x"]), " ".join(["a"] * 100_000)):
        with pytest.raises(ValueError, match="too many"):
            parse_scope(value)


def test_order_and_repetition_do_not_matter() -> None:
    assert render_scope(parse_scope("b a b")) == "a b"
    assert parse_scope("") == parse_scope([]) == frozenset()
