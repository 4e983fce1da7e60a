"""Fixtures of all tests: where data may be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ordermgmt.storage import Location, PostgresSchema
from tests import postgres_setup
from tests.postgres_setup import PostgresServer


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
