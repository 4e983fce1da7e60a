"""What the source raises across borders, read from its syntax: each code with its status, detail and place."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from ordermgmt import errors
from ordermgmt.sts import core
from tests.reference.meanings import MEANINGS

__all__ = ["Raised", "oauth_errors", "problems"]

PACKAGE = Path(errors.__file__).parent
KINDS: dict[str, type[errors.Error]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.Error) and kind is not errors.Error
}
GAP = "…"
"""Stands for what is filled in."""


class Raised(NamedTuple):
    """One place of the source that makes an error. `kind` is its class, or `Refused` for one of a connection."""

    kind: str
    status: int
    code: str
    detail: str
    module: str

    @property
    def meaning(self) -> str:
        """What it means, as the answer says it, or as a person had to say for it."""
        return MEANINGS.get(self.code) or self.detail


def problems() -> list[Raised]:
    """Return the errors of all modules but those that only refuse tokens, which docs/tokens.md lists."""
    return [one for path in sorted(PACKAGE.rglob("*.py")) for one in _in_module(path)]


def oauth_errors() -> dict[str, set[str]]:
    """Return what the token service refuses in the form of RFC 6749: descriptions by error."""
    found: dict[str, set[str]] = {}
    for path in sorted((PACKAGE / "sts").glob("*.py")):
        module = _Module(path)
        for call, function in module.calls("OAuthError"):
            for error in module.texts(call.args[0], function):
                found.setdefault(error, set()).update(module.texts(call.args[1], function))
    for error, description in core._DESCRIPTIONS.items():  # what Authlib refuses
        found.setdefault(error, set()).add(description)
    return found


def _in_module(path: Path) -> Iterator[Raised]:
    module = _Module(path)
    for name, kind in KINDS.items():
        for call, function in module.calls(name):
            yield from module.raised(name, kind.status, call.args, function)
    for call, function in module.calls("Refused"):
        if call.args and isinstance(call.args[0], ast.Attribute):
            status = HTTPStatus[call.args[0].attr].value
            yield from module.raised("Refused", status, call.args[1:], function)


Function = ast.FunctionDef | ast.AsyncFunctionDef


class _Module:
    def __init__(self, path: Path) -> None:
        self.name = path.relative_to(PACKAGE).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, Function)]
        around = {inner: function for function in functions for inner in ast.walk(function)}  # the innermost is last
        self._calls: dict[str, list[tuple[ast.Call, Function | None]]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).rpartition(".")[2]
                self._calls.setdefault(name, []).append((node, around.get(node)))

    def calls(self, name: str) -> list[tuple[ast.Call, Function | None]]:
        """Return each call of a name, and the innermost function that it is in."""
        return self._calls.get(name, [])

    def raised(self, kind: str, status: int, args: list[ast.expr], function: Function | None) -> Iterator[Raised]:
        if not args:
            return
        for caller, given in self._given(args, function):
            details = self.texts(given[1], caller) if len(given) > 1 else {""}
            for code in self.texts(given[0], caller):
                for detail in details or {""}:
                    yield Raised(kind, status, code, detail, self.name)

    def _given(self, args: list[ast.expr], function: Function | None) -> list[tuple[Function | None, list[ast.expr]]]:
        """Return what is passed: if the code is a parameter of the function around, what its callers pass for it."""
        if function is None or not isinstance(args[0], ast.Name):
            return [(function, args)]
        names = [parameter.arg for parameter in function.args.args]
        if args[0].id not in names:
            return [(function, args)]
        return [(caller, [_argument(one, names, call) for one in args]) for call, caller in self.calls(function.name)]

    def texts(self, node: ast.expr, function: Function | None) -> set[str]:
        """Return what an expression may be: a constant, one of the module's, a template, or a name that is set here."""
        match node:
            case ast.Constant(str(text)):
                return {text}
            case ast.JoinedStr(parts):
                return {"".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in parts)}
            case ast.Name(name) if name.isupper():
                return {str(getattr(_imported(self.name), name))}
        return {text for one in _alternatives(node, function) for text in self.texts(one, function)}


def _alternatives(node: ast.expr, function: Function | None) -> list[ast.expr]:
    match node:
        case ast.IfExp():
            return [node.body, node.orelse]
        case ast.BoolOp():
            return node.values
        case ast.Name(name) if function is not None:
            return list(_assigned(name, function))
    return []


def _argument(node: ast.expr, names: list[str], call: ast.Call) -> ast.expr:
    if isinstance(node, ast.Name) and node.id in names and names.index(node.id) < len(call.args):
        return call.args[names.index(node.id)]
    return node


def _assigned(name: str, function: Function) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id == name:
                yield node.value
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                yield from (
                    value
                    for one, value in zip(target.elts, node.value.elts, strict=True)
                    if isinstance(one, ast.Name) and one.id == name
                )


@cache
def _imported(module: str) -> object:
    return importlib.import_module("ordermgmt." + module.removesuffix(".py").replace("/", "."))
