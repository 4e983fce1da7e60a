"""Fixtures of all tests: where data may be."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ordermgmt.net import short_cut
from ordermgmt.storage import Location, PostgresSchema
from ordermgmt.testing import harness
from tests import postgres_setup
from tests.leaks import watch
from tests.leaks.points import FOLDER
from tests.postgres_setup import PostgresServer

NODE_MODULES = Path(__file__).parent / "npm" / "node_modules"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=("sqlite", "postgres"),
        default="sqlite",
        help="where the suites of the memory network keep their data",
    )
    parser.addoption(
        "--every",
        type=int,
        default=1,
        help="of the files with tests that were asked for, only one of so many: others on another day",
    )
    parser.addoption(
        "--depth",
        type=int,
        default=1,
        help="try so many times as many histories, others in every run (default: the same few)",
    )
    parser.addoption("--long-way", action="store_true", help="have every request go through the framework")


def pytest_configure(config: pytest.Config) -> None:
    short_cut.ENABLED = not config.getoption("--long-way")
    watch.install()
    os.environ[FOLDER] = folder = tempfile.mkdtemp()  # of this process alone
    config.add_cleanup(lambda: shutil.rmtree(folder))


def pytest_sessionfinish() -> None:
    """Fail the run if a secret was logged outside of all tests."""
    assert not watch.WATCH.found, watch.WATCH.found


@pytest.fixture(autouse=True, scope="module")
def secrets_of_a_module() -> Iterator[None]:
    """Keep the secrets of what several tests share for as long as they do."""
    with watch.WATCH.forgetting():
        yield


@pytest.fixture(autouse=True)
def no_secret_in_a_log() -> Iterator[None]:
    """Fail the test in which a secret was logged."""
    with watch.WATCH.forgetting():
        yield
    found = watch.WATCH.take()
    if found:
        pytest.fail("\n".join(found))


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Leave out what `--every` says; keep the tests that share the server in one process, of however many there are."""
    for item in items:
        function = item if isinstance(item, pytest.Function) else None
        where = getattr(getattr(function, "callspec", None), "params", {}).get("location")
        if where == "postgres" or (function is not None and "postgres" in function.fixturenames):
            item.add_marker(pytest.mark.xdist_group("postgres"))
    yield  # until -m and -k have left out theirs
    every, today = config.getoption("--every"), int(time.time() // 86400)
    files = {path: place for place, path in enumerate(sorted({item.path for item in items}))}
    left = [item for item in items if (files[item.path] + today) % every]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if (files[item.path] + today) % every == 0]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out, and say so, what needs programs that are not here; with ORDERMGMT_TEST_INSIST set, fail."""
    browser = item.get_closest_marker("browser") is not None
    needed = (
        {"node": shutil.which("node"), "make npm": NODE_MODULES.exists()}
        if browser or item.get_closest_marker("node")
        else {}
    )
    if browser:
        needed["chromium"] = shutil.which("chromium")
    missing = [name for name, found in needed.items() if not found]
    if missing:
        reason = f"did not run, for want of: {', '.join(missing)}"
        (pytest.fail if os.environ.get("ORDERMGMT_TEST_INSIST") else pytest.skip)(reason)


@pytest.fixture(autouse=True)
def database_of_suites(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let whole suites use what `--database` says: one database for each folder."""
    if request.config.getoption("--database") == "sqlite":
        yield
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    found: dict[Path, str] = {}
    with ExitStack() as stack:

        def database_of(folder: Path) -> str:
            if folder not in found:
                found[folder] = stack.enter_context(postgres_setup.database(server))
            return found[folder]

        monkeypatch.setattr(harness, "default_database", database_of)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server that all tests share."""
    with postgres_setup.server() as server:
        yield server


@pytest.fixture
def postgres_dsn(postgres: PostgresServer) -> Iterator[str]:
    """A connection string for an empty database."""
    with postgres_setup.database(postgres) as dsn:
        yield dsn


@pytest.fixture
def postgres_schema(postgres_dsn: str) -> PostgresSchema:
    """A location that holds nothing yet, on PostgreSQL."""
    return PostgresSchema(postgres_dsn, "test")


@pytest.fixture(params=["sqlite", "postgres"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """A location that holds nothing yet, once on each engine."""
    if request.param == "sqlite":
        return tmp_path / "data" / "test.sqlite"
    found: PostgresSchema = request.getfixturevalue("postgres_schema")
    return found
