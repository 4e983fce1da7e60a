"""Every row of the conformance table names a test that there is."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.conformance import authorization, token_use
from tests.conformance.rows import Row

TESTS = Path(__file__).parents[1]
ROWS = [*authorization.ROWS, *token_use.ROWS]


@cache
def functions(path: str) -> Mapping[str, ast.AST]:
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.rfc} {row.section}" for row in ROWS])
def test_it_names_a_test_that_asserts_something(row: Row) -> None:
    path, _, name = row.test.partition("::")
    assert name.startswith("test_")
    body = ast.unparse(functions(path)[name])
    assert "assert " in body or "pytest.raises" in body


def test_no_row_is_there_twice() -> None:
    assert len(set(ROWS)) == len(ROWS)
