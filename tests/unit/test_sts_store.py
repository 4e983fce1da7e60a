from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from importlib.resources import files

import pytest

from ordermgmt.clock import SystemClock
from ordermgmt.storage import Database, Location, Transaction, open_database
from ordermgmt.sts import store
from ordermgmt.sts.domain import Authority
from ordermgmt.sts.key_rotation import KeyState, StoredKey
from ordermgmt.sts.registration import Client, UserDetails
from ordermgmt.sts.store import StoredUser
from ordermgmt.threads import InlineThreads

NOW = 1_700_000_000
MIGRATIONS = files("ordermgmt.sts") / "migrations"
APP = Client(
    "app",
    grants=frozenset({"client_credentials"}),
    scopes=frozenset({"add_order", "update_order"}),
    targets=frozenset({"order"}),
    default_audience="gateway",
    secret_digest="d" * 64,
)
SPA = Client(
    "spa",
    grants=frozenset({"authorization_code"}),
    scopes=frozenset({"add_order"}),
    default_audience="gateway",
    public=True,
    name="A page",
    redirect_uris=frozenset({"https://spa.test/cb", "http://127.0.0.1/cb"}),
    post_logout_redirect_uris=frozenset({"https://spa.test/"}),
)
ALICE = StoredUser("alice", UserDetails("Alice", ("customer", "tester")), frozenset({"add_order"}), "$argon2id$")
OWN = Authority(
    issuer="https://sts.test",
    subject="client:app",
    scopes=frozenset({"add_order"}),
    audience="gateway",
    expires_at=NOW + 60,
    client_id="app",
)
OF_ALICE = replace(OWN, subject="alice", user=ALICE.details)


@pytest.fixture
async def database(location: Location) -> AsyncIterator[Database]:
    async with open_database(location, MIGRATIONS, threads=InlineThreads(), clock=SystemClock()) as opened:
        await opened.write(lambda transaction: store.put_demo(transaction, [APP, SPA], [ALICE], "f"))
        yield opened


async def save(database: Database, digest: str, authority: Authority, issued_at: int = NOW) -> None:
    await database.write(lambda transaction: store.save_access_token(transaction, digest, authority, issued_at))


async def find(database: Database, digest: str) -> Authority | None:
    return await database.read(lambda transaction: store.find_access_token(transaction, digest, OWN.issuer))


async def run(database: Database, sql: str) -> list[tuple[object, ...]]:
    return await database.write(lambda transaction: transaction.execute(sql).rows)


async def test_a_client_comes_back_as_it_was_registered(database: Database) -> None:
    assert await database.read(lambda transaction: store.find_client(transaction, "app")) == APP
    assert await database.read(lambda transaction: store.find_client(transaction, "spa")) == SPA
    assert await database.read(lambda transaction: store.find_client(transaction, "APP")) is None


async def test_a_user_comes_back_as_it_was_registered(database: Database) -> None:
    assert await database.read(lambda transaction: store.find_user(transaction, "alice")) == ALICE
    assert await database.read(lambda transaction: store.find_user(transaction, "Alice")) is None
    await run(database, "UPDATE users SET disabled = 1")
    assert await database.read(lambda transaction: store.find_user(transaction, "alice")) is None


async def test_a_token_comes_back_as_the_authority_that_it_was_made_from(database: Database) -> None:
    await save(database, "own", OWN)
    await save(database, "hers", OF_ALICE)
    assert await find(database, "own") == replace(OWN, revocable_by=("client:app#0", "own"))
    assert await find(database, "hers") == replace(OF_ALICE, revocable_by=("client:app#0", "hers"))
    assert await find(database, "other") is None


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE clients SET disabled = 1",
        "UPDATE users SET disabled = 1",
        "DELETE FROM clients",
        "DELETE FROM users",
    ],
)
async def test_a_token_dies_with_its_client_and_its_user(database: Database, sql: str) -> None:
    await save(database, "hers", OF_ALICE)
    await run(database, sql)
    assert await find(database, "hers") is None


async def test_a_disabled_client_is_not_found(database: Database) -> None:
    await run(database, "UPDATE clients SET disabled = 1")
    assert await database.read(lambda transaction: store.find_client(transaction, "app")) is None


async def test_expired_tokens_go_a_few_at_a_time_and_good_ones_stay(database: Database) -> None:
    def fill(transaction: Transaction) -> None:
        for number in range(store.PURGE + 10):
            store.save_access_token(transaction, f"old-{number}", replace(OWN, expires_at=NOW), NOW - 60)

    await database.write(fill)
    await save(database, "good", OWN)
    assert await run(database, "SELECT count(*) FROM access_tokens") == [(11,)]
    await save(database, "better", OWN)
    assert await run(database, "SELECT digest FROM access_tokens ORDER BY digest") == [("better",), ("good",)]


def test_secrets_are_not_in_a_repr() -> None:
    shown = repr((APP, ALICE, StoredKey("kid", "ES256", KeyState.NEXT, NOW, NOW, "PRIVATE")))
    assert not any(secret in shown for secret in (APP.secret_digest, ALICE.password_digest, "PRIVATE"))
