"""Where a service's data is: a file of SQLite, or a schema of a PostgreSQL database."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ordermgmt.config import SuiteConfig
from ordermgmt.errors import StartError
from ordermgmt.telemetry.secrets import Secret

__all__ = ["Location", "PostgresSchema", "locate"]

_SCHEMAS = {"order": "orders"}  # `order` would have to be quoted in every statement that a person types


@dataclass(frozen=True, slots=True)
class PostgresSchema:
    """A schema, made when it is not there, of a database that must exist.

    `dsn` is a connection string without a password. Without a `password` libpq looks for one as it always does:
    in PGPASSWORD, and in ~/.pgpass.
    """

    dsn: str
    schema: str
    password: Secret[str] = field(default_factory=partial(Secret, ""))

    def __str__(self) -> str:
        return f"{self.dsn} schema {self.schema}"


Location = Path | PostgresSchema
"""A path is that of a file of SQLite, which is made when it is not there."""


def locate(suite: SuiteConfig, service: str, data: Path, *, guide: bool) -> Location:
    """Return where `service` keeps its data: in the folder `data`, or in the configured PostgreSQL database.

    The replay profile, with a folder of its own, has schemas of its own there. Raises StartError naming the setting
    that is wrong, and never showing what may be a password.
    """
    if not suite.database:
        if suite.database_password_file:
            msg = "suite.database_password_file: there is no suite.database"
            raise StartError(msg)
        return data / f"{service}.sqlite"
    _check_dsn(suite.database)
    schema = _SCHEMAS.get(service, service)
    password = Secret(_read_password(suite.database_password_file) if suite.database_password_file else "")
    return PostgresSchema(suite.database, f"guide_{schema}" if guide else schema, password)


def _check_dsn(dsn: str) -> None:
    # Only who uses PostgreSQL has to have its driver.
    try:
        import psycopg  # noqa: PLC0415
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415
    except ImportError as error:
        msg = "suite.database: PostgreSQL needs the extra `postgres`: pip install 'ordermgmt[postgres]'"
        raise StartError(msg) from error
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.Error:
        # The cause may quote what it could not read: it must not be shown.
        msg = "suite.database: not a connection string such as postgresql://user@host/database"
        raise StartError(msg) from None
    if parts.get("password") or parts.get("sslpassword"):
        msg = "suite.database: holds a password; keep it in a file and name that in suite.database_password_file"
        raise StartError(msg)


def _read_password(name: str) -> str:
    try:
        password = Path(name).read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        msg = f"suite.database_password_file: cannot read {name}: {reason}"
        raise StartError(msg) from error
    if not password:
        msg = f"suite.database_password_file: {name} is empty"
        raise StartError(msg)
    return password
