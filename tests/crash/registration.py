"""A client that belongs to nobody's demo: the one way to have one where others share the database."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from ordermgmt.clock import SystemClock
from ordermgmt.config import SuiteConfig
from ordermgmt.storage import Transaction, locate, open_database
from ordermgmt.threads import WorkerThreads

__all__ = ["Secret", "register"]

SCOPES = "add_order cancel_order update_order"


@dataclass(frozen=True, slots=True)
class Secret:
    """How a client proves itself to the STS."""

    client_id: str
    secret: str = field(repr=False)


async def register(suite: SuiteConfig, data: Path, client_id: str) -> Secret:
    """Add a client to the STS's database, which is made if there is none, and return its new secret."""
    made = Secret(client_id, secrets.token_urlsafe(32))
    location, migrations = locate(suite, "sts", data, guide=False), files("ordermgmt.sts") / "migrations"
    async with open_database(location, migrations, threads=WorkerThreads(), clock=SystemClock()) as database:
        await database.write(lambda transaction: _add(transaction, made))
    return made


def _add(transaction: Transaction, secret: Secret) -> None:
    transaction.execute(
        "INSERT INTO clients (id, secret_digest, grants, scopes, targets, default_audience, demo)"
        " VALUES (?, ?, 'client_credentials', ?, 'order', 'gateway', 0)",
        (secret.client_id, hashlib.sha256(secret.secret.encode()).hexdigest(), SCOPES),
    )
