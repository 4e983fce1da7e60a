"""docs/tokens.md lists the codes of refused tokens: all that the source has, and each with a row that provokes it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.contract.test_unforgeable import TABLES
from tests.contract.test_unforgeable_callers import bindings, identities

ROOT = Path(__file__).parents[2]
ROOM = ROOT / "ordermgmt" / "security"
PAGE = ROOT / "docs" / "tokens.md"
CALLERS = {"caller-not-allowed", "caller-scope"}
"""Provoked by who calls, not by a token: test_who_calls_decides_before_any_token_does."""
UNREACHABLE = {
    "payload-too-large",  # a token that is small enough has a payload that is
    "no-policy",  # a route that was added behind the guard's back: test_guard.py
}
REVOKED = {"revoked"}
"""Provoked by the issuer's stream: test_revocations.py."""
VERIFYING = ("tokens", "claims", "jose_json", "keys", "jwks", "verifier", "revocations", "bearer", "guard")


def listed() -> dict[str, int]:
    """Return the codes of the page, with their status."""
    found: dict[str, int] = {}
    for cells in re.findall(r"^\| (`[a-z].*?) \| (\d+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        found |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), int(cells[1]))
    return found


def texts(node: ast.expr) -> Iterator[str]:
    """Yield what an expression may be, as far as it is written out."""
    match node:
        case ast.Constant(value=str() as text):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from texts(body)
            yield from texts(orelse)


def calls(module: str) -> Iterator[tuple[str, list[ast.expr]]]:
    for node in ast.walk(ast.parse((ROOM / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, node.args


def in_source() -> set[str]:
    """Return the codes that the source can raise, those that it puts together included."""
    found: set[str] = set()
    for module in VERIFYING:
        for name, arguments in calls(module):
            if name in ("Unauthenticated", "Forbidden") and arguments:
                found.update(texts(arguments[0]))
            elif name in ("read_text", "read_texts", "read_time", "read_object") and len(arguments) == 2:
                found.update(f"invalid-{claim}" for claim in texts(arguments[1]))
    reasons = {reason for name, arguments in calls("jose_json") if name == "Refused" for reason in texts(arguments[0])}
    return found | {f"{part}-{reason}" for part in ("header", "payload") for reason in reasons - {"base64url"}}


def test_the_page_lists_what_the_source_can_raise() -> None:
    assert set(listed()) == in_source() - UNREACHABLE


def test_each_code_has_a_row_that_provokes_it_with_its_status() -> None:
    rows = [row for table in TABLES for row in table()] + [*bindings("a" * 43, "b" * 43), *identities("", "")]
    provoked = {row.code: row.status for row in rows if row.code}
    assert provoked == {code: status for code, status in listed().items() if code not in CALLERS | REVOKED}
