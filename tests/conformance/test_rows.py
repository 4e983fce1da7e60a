"""Every row of the table names a test that there is, that asserts something, and that runs wherever tests run."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conformance.page import PAGE, render
from tests.conformance.rows import Row, Standard, read_rows, read_standards

TESTS = Path(__file__).parents[1]
STANDARDS = read_standards()
ROWS = [(standard, row) for standard in STANDARDS for row in standard.rows]
LEFT_OUT = {"skip", "skipif", "xfail", "slow", "month", "node", "browser"}
"""Marks of tests that do not always run."""


@cache
def module_of(path: str) -> ModuleType:
    return importlib.import_module("tests." + path.removesuffix(".py").replace("/", "."))


@cache
def calls_in(path: str) -> frozenset[str]:
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    return frozenset(ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))


def marks_of(path: str, test: Callable[..., Any]) -> list[pytest.Mark]:
    of_module = getattr(module_of(path), "pytestmark", [])
    marks = [*(of_module if isinstance(of_module, list) else [of_module]), *getattr(test, "pytestmark", [])]
    return [getattr(mark, "mark", mark) for mark in marks]


@cache
def cases_of(path: str, name: str) -> frozenset[str]:
    """Return the names of a test's cases: ids, texts that are ids, and the rows of tables that it goes through."""
    marks = [mark for mark in marks_of(path, getattr(module_of(path), name)) if mark.name == "parametrize"]
    return frozenset(case for mark in marks for case in names_in(mark))


def names_in(mark: pytest.Mark) -> Iterator[str]:
    ids = mark.kwargs.get("ids")
    if isinstance(ids, list):
        yield from ids
    for value in mark.args[1]:
        if isinstance(value, str):
            yield value
        elif inspect.isfunction(value):
            yield from (row.name for row in value(*("" for _ in inspect.signature(value).parameters)))


@pytest.mark.parametrize("standard", STANDARDS, ids=lambda standard: standard.name)
def test_each_row_names_a_test_that_asserts_something_and_always_runs(
    standard: Standard, subtests: pytest.Subtests
) -> None:
    for row in standard.rows:
        with subtests.test(f"{row.section} {row.requirement}"):
            check_row(row)


def check_row(row: Row) -> None:
    path, _, name = row.test.partition("::")
    assert name.startswith("test_")
    test = getattr(module_of(path), name)
    body = inspect.getsource(test)
    assert "assert " in body or "pytest.raises" in body or "check_" in body
    assert LEFT_OUT.isdisjoint(mark.name for mark in marks_of(path, test))
    assert calls_in(path).isdisjoint({"pytest.skip", "pytest.importorskip", "pytest.xfail"})
    assert not row.case or row.case in cases_of(path, name)


@pytest.mark.parametrize(
    "test",
    [
        "unit/test_nothing.py::test_refusals",
        "unit/test_sts_refusals.py::test_nothing",
        "unit/test_sts_refusals.py::basic",
        "unit/test_sts_refusals.py::test_refusals[6749-9.9 nothing]",
        "contract/test_unforgeable.py::test_a_token_changed_in_one_way_is_refused[nothing]",
        "system/test_openid_clients.py::test_openid_client_needs_nothing_but_the_address",
        "faults/test_unkillable.py::test_ours_holds_against_every_attack_in_a_row",
    ],
)
def test_a_row_without_a_test_that_always_runs_is_refused(test: str) -> None:
    (row,) = read_rows([f"1 | met | Anything | {test}"])
    with pytest.raises((AssertionError, AttributeError, ModuleNotFoundError)):
        check_row(row)


def test_no_row_is_there_twice() -> None:
    said = [(standard.name, row.section, row.requirement) for standard, row in ROWS]
    assert len(set(said)) == len(said)


def test_the_rows_of_a_standard_are_in_its_order() -> None:
    for standard in STANDARDS:
        if standard.name.startswith("RFC"):
            sections = [order_of(row.section) for row in standard.rows]
            assert sections == sorted(sections), standard.name


def order_of(section: str) -> tuple[bool, list[int]]:
    """Appendices come last."""
    return section.isalpha(), [0 if part.isalpha() else int(part) for part in section.split(".")]


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(STANDARDS), "run `make conformance`"
