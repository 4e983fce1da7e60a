"""Where data is, as configured: passwords in files, and clear lines for what cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ordermgmt.config import SuiteConfig
from ordermgmt.errors import StartError
from ordermgmt.storage import PostgresSchema, locate

DSN = "postgresql://app@db.example/orders"


def test_without_a_setting_each_service_has_a_file() -> None:
    assert locate(SuiteConfig(), "order", Path("var"), guide=False) == Path("var/order.sqlite")


def test_each_service_has_a_schema(tmp_path: Path) -> None:
    suite = SuiteConfig(database=DSN)
    places = [locate(suite, service, tmp_path, guide=False) for service in ("sts", "inventory", "order")]
    assert places == [PostgresSchema(DSN, schema) for schema in ("sts", "inventory", "orders")]
    assert locate(suite, "order", tmp_path, guide=True) == PostgresSchema(DSN, "guide_orders")


def test_a_password_comes_from_its_file_and_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("open sesame \n")
    place = locate(SuiteConfig(database=DSN, database_password_file=str(file)), "sts", tmp_path, guide=False)
    assert isinstance(place, PostgresSchema)
    assert place.password.reveal() == "open sesame "
    assert "sesame" not in f"{place!r} {place}"


@pytest.mark.parametrize(
    ("dsn", "reason"),
    [
        ("postgresql://app:sesame@db.example/orders", "holds a password"),
        ("postgresql://db.example/orders?user=app&password=sesame", "holds a password"),
        ("host=db.example password=sesame", "holds a password"),
        ("host=db.example sslpassword=sesame", "holds a password"),
        ("mysql://app:sesame@db.example/orders", "not a connection string"),
        ("host=db.example sesame", "not a connection string"),
        ("postgresql://[sesame", "not a connection string"),
    ],
)
def test_a_connection_string_that_cannot_be_is_refused_and_not_shown(dsn: str, reason: str) -> None:
    with pytest.raises(StartError, match=f"^suite.database: {reason}") as caught:
        locate(SuiteConfig(database=dsn), "sts", Path("var"), guide=False)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b"", "is empty"), (b"\n", "is empty"), (b"\xff", "not UTF-8")]
)
def test_a_password_file_that_cannot_be_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StartError, match=rf"^suite.database_password_file: .*{file}.*{reason}"):
        locate(SuiteConfig(database=DSN, database_password_file=str(file)), "sts", tmp_path, guide=False)


def test_a_password_file_alone_is_a_mistake() -> None:
    with pytest.raises(StartError, match=r"there is no suite\.database"):
        locate(SuiteConfig(database_password_file="x"), "sts", Path("var"), guide=False)


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StartError, match=r"pip install 'ordermgmt\[postgres\]'"):
        locate(SuiteConfig(database=DSN), "sts", Path("var"), guide=False)
