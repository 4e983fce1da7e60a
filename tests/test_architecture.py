"""The shape of the source, as rules: what ruff, mypy and flake8-async cannot say."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parent.parent
SHIPPED = sorted((ROOT / "ordermgmt").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

MAX_FILE = 300
MAX_FUNCTION = 60

NAMES_THAT_SAY_NOTHING = {"base", "common", "helper", "helpers", "manager", "misc", "types", "util", "utils"}

ONLY_IN = {
    # Dates come from the injected clock; what reads them elsewhere cannot run under virtual time.
    "time.time": {"clock.py"},
    "time.time_ns": {"clock.py"},
    "datetime.datetime.now": {"clock.py"},
    "datetime.datetime.today": {"clock.py"},
    "datetime.datetime.utcnow": {"clock.py"},
    "datetime.date.today": {"clock.py"},
    # Under virtual time blocking work runs inline.
    "trio.to_thread": {"threads.py"},
    "threading.Thread": {"threads.py"},
    "threading.Timer": {"threads.py"},
    "concurrent.futures": {"threads.py"},
    # Unpredictable bytes come from the injected entropy, so that a run repeats from its seed.
    "os.urandom": {"runtime.py"},
    "random": {"testing"},
    "secrets.choice": set(),
    "secrets.randbelow": set(),
    "secrets.token_bytes": {"commands"},
    "secrets.token_hex": set(),
    "secrets.token_urlsafe": set(),
    "uuid": set(),
}
"""Names, and the only places in the package that may refer to them."""

CALLED_ONLY_IN = {
    # One place knows how a context is made safe; everybody else names the type.
    "ssl.SSLContext": {"security/tls.py"},
    "ssl.create_default_context": {"security/tls.py"},
    "ssl.wrap_socket": set(),
    "httpx.create_ssl_context": set(),
}
"""Likewise, but only for calls."""

NOT_IN_UNIT_TESTS = {"socket", "ssl.get_server_certificate", "subprocess", "time.sleep", "trio.open_tcp_stream"}
NOT_IN_TESTS = {"unittest.mock", "time.sleep"}

EXPECTS = re.compile(r"^(raises|warns|RaisesGroup|assert_\w+|check_\w+|expect\w*|fail_after|fail_at)$")


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def where(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Map each name that an import binds to what it stands for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def resolve(node: ast.expr, names: dict[str, str]) -> str | None:
    """Spell out `t.time` as `time.time`, where `t` came from an import."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names:
        return None
    return ".".join([names[node.id], *reversed(parts)])


def references(path: Path, *, calls: bool = False) -> Iterator[tuple[str, str]]:
    """Yield each imported thing that a module refers to, or calls, and where."""
    names = imported_names(parse(path))
    for node in ast.walk(parse(path)):
        if calls:
            found = resolve(node.func, names) if isinstance(node, ast.Call) else None
        else:
            found = resolve(node, names) if isinstance(node, ast.Name | ast.Attribute) else None
        if found is not None:
            yield found, where(path, node)


def is_within(name: str, banned: str) -> bool:
    return name == banned or name.startswith(f"{banned}.")


def strays(allowed: dict[str, set[str]], *, calls: bool) -> list[str]:
    offences = set()
    for path in SHIPPED:
        place = path.relative_to(ROOT / "ordermgmt")
        homes = {place.as_posix(), *(parent.as_posix() for parent in place.parents)}
        for found, line in references(path, calls=calls):
            for banned, permitted in allowed.items():
                if is_within(found, banned) and not homes & permitted:
                    offences.add(f"{line} {banned}")
    return sorted(offences)


def test_imports_follow_the_contracts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename=str(ROOT / ".importlinter"), no_cache=True, no_logo=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_files_fit_in_a_head() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SHIPPED + TESTS}
    assert [f"{where(path, parse(path))} {length}" for path, length in lengths.items() if length >= MAX_FILE] == []


def test_functions_fit_on_a_screen() -> None:
    offences = [
        f"{where(path, node)} {node.name}"
        for path in SHIPPED + TESTS
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 >= MAX_FUNCTION
    ]
    assert offences == []


def test_names_say_what_is_inside() -> None:
    named = [path for path in SHIPPED + TESTS if NAMES_THAT_SAY_NOTHING & {path.stem, path.parent.name}]
    assert named == []


def test_seams_are_the_only_way_to_time_threads_and_chance() -> None:
    assert strays(ONLY_IN, calls=False) == []


def test_one_module_builds_tls_contexts() -> None:
    assert strays(CALLED_ONLY_IN, calls=True) == []


@pytest.mark.parametrize("room", ["contract", "domain", "store"])
def test_rooms_that_decide_do_not_wait(room: str) -> None:
    waiting = ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith
    offences = [
        where(path, node)
        for path in SHIPPED
        if path.stem == room
        for node in ast.walk(parse(path))
        if isinstance(node, waiting)
    ]
    assert offences == []


def test_public_names_are_listed() -> None:
    offences = [
        str(path.relative_to(ROOT))
        for path in SHIPPED
        if any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in parse(path).body)
        and not re.search(r"^__all__ = ", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert offences == []


def test_every_test_expects_something() -> None:
    offences = [
        f"{where(path, node)} {node.name}"
        for path in TESTS
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        if not any(expects(inner) for inner in ast.walk(node))
    ]
    assert offences == []


def expects(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return True
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return EXPECTS.match(name) is not None


def test_tests_use_the_real_classes_and_no_real_time() -> None:
    offences = set()
    for path in TESTS:
        banned_here = NOT_IN_TESTS | (NOT_IN_UNIT_TESTS if (ROOT / "tests" / "unit") in path.parents else set())
        offences |= {
            f"{line} {banned}" for found, line in references(path) for banned in banned_here if is_within(found, banned)
        }
    assert sorted(offences) == []
