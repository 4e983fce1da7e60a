"""A data folder as a stopped suite leaves it, with orders and tokens, and a backup of it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from base64 import b64encode
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

from ordermgmt.backups.backup import Backup, back_up
from ordermgmt.backups.restore import Restored, restore
from ordermgmt.gateway import session_store
from ordermgmt.gateway.sessions import Login, Session
from ordermgmt.runtime import Runtime
from ordermgmt.storage import open_database
from ordermgmt.sts import store
from ordermgmt.testing.clocks import VirtualClock
from ordermgmt.testing.memory import MemoryNetwork
from ordermgmt.threads import InlineThreads
from tests.unit.order_setup import ALICE, answer_lost, create, request_lost, result, shop
from tests.unit.test_sts_store import ALICE as ALICE_USER
from tests.unit.test_sts_store import APP, MIGRATIONS, OF_ALICE

GATEWAY_MIGRATIONS = files("ordermgmt.gateway") / "migrations"
KEY = b64encode(bytes(32)) + b"\n"
SESSION = Session("d", "https://issuer", "alice", "sid", "Alice", "alice", frozenset(), "sealed", 0, 1e11, 1e11)
DEMO = b"client app secret\n"
HELD, UNDER_WAY = 3, 2


def runtime(seed: int = 0) -> Runtime:
    return Runtime(VirtualClock(), MemoryNetwork(), InlineThreads(), Random(seed).randbytes)  # noqa: S311 - repeats


async def fill(data: Path) -> None:
    """Keep an order, a token, and two changes without an outcome: one that inventory has applied, one it never saw."""
    async with open_database(
        data / "sts.sqlite", MIGRATIONS, threads=InlineThreads(), clock=VirtualClock()
    ) as database:
        await database.write(lambda tx: store.put_demo(tx, [APP], [ALICE_USER], "f"))
        await database.write(lambda tx: store.save_access_token(tx, "digest", OF_ALICE, 0))
    async with open_database(
        data / "gateway.sqlite", GATEWAY_MIGRATIONS, threads=InlineThreads(), clock=VirtualClock()
    ) as database:
        await database.write(lambda tx: session_store.add_session(tx, SESSION, ""))
        await database.write(lambda tx: session_store.add_login(tx, "login", Login("/", ""), 600))
    (data / "gateway-key").write_bytes(KEY)
    (data / "gateway-key").chmod(0o600)
    (data / "demo-credentials").write_bytes(DEMO)
    (data / "demo-credentials").chmod(0o600)
    async with shop(data) as one:
        await one.orders.create(create("kept", qty=HELD), ALICE)
        one.stock.script.append(answer_lost)
        one.stock.always = request_lost
        await result(one.orders.create(create("taken", qty=UNDER_WAY), ALICE))
        await result(one.orders.create(create("unsent", qty=1), ALICE))
        one.crash()


async def save(data: Path, target: Path) -> Backup:
    return await back_up(data, target, runtime(), lambda *_: None)


async def put_back(backup: Path, data: Path, **choices: bool) -> Restored:
    return await restore(backup, data, runtime(), lambda *_: None, **choices)


def rows(file: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute(sql).fetchall()


def tamper(backup: Path, name: str, *statements: str) -> None:
    """Change a database of a backup, and make its manifest true again."""
    change(backup / name, *statements)
    sign(backup, name)


def change(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


def sign(backup: Path, name: str) -> None:
    """Make the manifest say what a file is now."""
    content = (backup / name).read_bytes()
    manifest = json.loads((backup / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    (backup / "manifest.json").write_text(json.dumps(manifest))
