"""Signing keys: when they change, and that each change happens once."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from random import Random

import pytest
import trio

from ordermgmt.clock import SystemClock
from ordermgmt.errors import StartError
from ordermgmt.security.jwks import REFRESH, STALE
from ordermgmt.security.key_file import open_key_file
from ordermgmt.security.keys import SigningKey
from ordermgmt.storage import Database, Location, Transaction, open_database
from ordermgmt.sts import key_store
from ordermgmt.sts.key_rotation import (
    CACHED,
    PUBLISH_AHEAD,
    Activate,
    Change,
    Drop,
    KeyState,
    Publish,
    Schedule,
    StoredKey,
    plan,
)
from ordermgmt.sts.signing_key import SigningKeys
from ordermgmt.supervision.bells import Bell
from ordermgmt.testing.clocks import VirtualClock
from ordermgmt.threads import InlineThreads
from tests.unit.sts_setup import open_keys, open_sts

MIGRATIONS = files("ordermgmt.sts") / "migrations"
SCHEDULE = Schedule(period=10_000, retain=700, publish_ahead=1300)
DAY = 86_400


def key(kid: str, state: KeyState, since: int) -> StoredKey:
    return StoredKey(kid, "ES256", state, since, since, "sealed")


OLD = key("old", KeyState.RETIRING, 0)
ACTIVE = key("active", KeyState.ACTIVE, 0)
NEXT = key("next", KeyState.NEXT, 8_700)


@pytest.mark.parametrize(
    ("keys", "now", "changes"),
    [
        ([ACTIVE], 8_699, ()),
        ([ACTIVE], 8_700, (Publish(),)),
        ([ACTIVE, NEXT], 9_999, ()),
        ([ACTIVE, NEXT], 10_000, (Activate("next", "active"),)),
        ([ACTIVE, NEXT], 99_999, (Activate("next", "active"),)),
        ([ACTIVE, replace(NEXT, since=10)], 1_310, (Activate("next", "active"),)),
        ([OLD, replace(ACTIVE, since=500)], 699, ()),
        ([OLD, replace(ACTIVE, since=500)], 700, (Drop("old"),)),
        ([OLD, ACTIVE, NEXT], 10_000, (Drop("old"), Activate("next", "active"))),
        ([ACTIVE], -5_000, ()),
        ([], 10_000, ()),
    ],
)
def test_what_is_due(keys: list[StoredKey], now: float, changes: tuple[Change, ...]) -> None:
    assert plan(keys, now, SCHEDULE) == changes


def test_without_a_period_keys_change_on_command_only() -> None:
    never = replace(SCHEDULE, period=0)
    assert plan([ACTIVE], 1e9, never) == ()
    assert plan([ACTIVE, NEXT], 1e9, never) == (Activate("next", "active"),)


def test_a_key_is_kept_for_the_longest_token_and_the_skew_of_verifiers() -> None:
    assert Schedule.of(30, [60, 3600, 600]) == Schedule(period=30 * DAY, retain=3690, publish_ahead=PUBLISH_AHEAD)


async def test_a_key_is_published_for_longer_than_verifiers_and_caches_may_do_without(tmp_path: Path) -> None:
    async with open_sts(tmp_path) as sts:
        header = (await sts.get("/oauth2/jwks")).headers["cache-control"]
    assert header == f"public, max-age={CACHED:.0f}"
    assert PUBLISH_AHEAD > REFRESH + STALE + CACHED


@pytest.fixture
async def database(location: Location) -> AsyncIterator[Database]:
    async with open_database(location, MIGRATIONS, threads=InlineThreads(), clock=SystemClock()) as opened:
        yield opened


async def stored(database: Database) -> list[StoredKey]:
    return await database.read(key_store.load_keys)


async def age(database: Database, seconds: float) -> None:
    """Make all keys older: the clock is that of the database."""
    await database.write(lambda tx: tx.execute("UPDATE signing_keys SET since = since - ?", (int(seconds),)))


async def states(database: Database) -> dict[KeyState, int]:
    found = [kept.state for kept in await stored(database)]
    return {state: found.count(state) for state in KeyState if state in found}


async def test_the_first_key_is_made_once_and_kept(database: Database, tmp_path: Path) -> None:
    first = await open_keys(database, tmp_path)
    second = await open_keys(database, tmp_path, "RS256")
    assert first.current.signing.kid == second.current.signing.kid
    assert second.current.algorithms == ("ES256",)


async def test_a_first_start_can_choose_rs256(database: Database, tmp_path: Path) -> None:
    keys = await open_keys(database, tmp_path, "RS256")
    assert keys.current.signing.public_jwk()["kty"] == "RSA"


async def test_a_key_goes_through_its_states(database: Database, tmp_path: Path) -> None:
    keys = await open_keys(database, tmp_path)
    first = keys.current.signing.kid
    next_one = await keys.rotate()
    assert (await keys.rotate()) == next_one  # one at a time
    assert {published["kid"] for published in keys.current.jwks()["keys"]} == {first, next_one.kid}
    await keys.advance()
    assert keys.current.signing.kid == first
    await age(database, PUBLISH_AHEAD + 1)
    await keys.advance()
    assert keys.current.signing.kid == next_one.kid
    assert set(keys.current.verification) == {first, next_one.kid}
    assert await states(database) == {KeyState.ACTIVE: 1, KeyState.RETIRING: 1}
    await age(database, 600 + 90 + 1)
    await keys.advance()
    assert set(keys.current.verification) == {next_one.kid}


async def test_replicas_do_it_once(database: Database, tmp_path: Path) -> None:
    replicas = [await open_keys(database, tmp_path, days=1) for _ in range(3)]

    async def all_advance() -> None:
        async with trio.open_nursery() as nursery:
            for replica in replicas:
                nursery.start_soon(replica.advance)

    await age(database, DAY)
    await all_advance()
    assert await states(database) == {KeyState.ACTIVE: 1, KeyState.NEXT: 1}
    await age(database, PUBLISH_AHEAD + 1)
    await all_advance()
    assert await states(database) == {KeyState.ACTIVE: 1, KeyState.RETIRING: 1}
    for replica in replicas:
        await replica.refresh()
    assert len({replica.current.signing.kid for replica in replicas}) == 1


async def test_changes_from_other_states_than_decided_do_nothing(database: Database, tmp_path: Path) -> None:
    keys = await open_keys(database, tmp_path)
    active, next_one = keys.current.signing.kid, (await keys.rotate()).kid
    before = await stored(database)

    def wrong(tx: Transaction) -> list[bool]:
        return [
            key_store.activate_key(tx, active, next_one, 1),
            key_store.activate_key(tx, next_one, "another", 1),
            key_store.drop_key(tx, active),
            key_store.drop_key(tx, next_one),
            key_store.add_key(tx, key("another", KeyState.ACTIVE, 1)),
            key_store.reseal_key(tx, active, "not this", "other"),
        ]

    assert await database.write(wrong) == [False] * 6
    assert await stored(database) == before


async def test_in_an_emergency_only_the_new_key_is_left(database: Database, tmp_path: Path) -> None:
    keys = await open_keys(database, tmp_path)
    await keys.rotate()
    made = await keys.replace()
    assert [kept.kid for kept in await stored(database)] == [made.kid] == list(keys.current.verification)


async def test_a_running_service_notices_what_a_command_did(
    location: Location, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    clock = VirtualClock()
    async with open_database(location, MIGRATIONS, threads=InlineThreads(), clock=clock) as database:
        running, command = await open_keys(database, tmp_path), await open_keys(database, tmp_path)
        wanted = Bell()
        async with trio.open_nursery() as nursery:
            await nursery.start(running.run, wanted)
            made = await command.replace()
            await trio.sleep(1)
            assert running.current.signing.kid == made.kid
            wanted.ring()
            await trio.sleep(1)
            assert len(running.current.published) == 2
            nursery.cancel_scope.cancel()


async def test_the_last_good_keys_serve_when_the_database_is_damaged(
    location: Location, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with open_database(location, MIGRATIONS, threads=InlineThreads(), clock=VirtualClock()) as database:
        running = await open_keys(database, tmp_path)
        kid = running.current.signing.kid
        async with trio.open_nursery() as nursery:
            await nursery.start(running.run, Bell())
            await database.write(lambda tx: tx.execute("DELETE FROM signing_keys"))
            await trio.sleep(3)
            assert running.current.signing.kid == kid
            nursery.cancel_scope.cancel()


async def test_keys_are_encrypted_at_rest_and_plain_ones_become_so(database: Database, tmp_path: Path) -> None:
    plain = SigningKey.generate("ES256")
    row = replace(key(plain.kid, KeyState.ACTIVE, 0), private_pem=plain.to_pem().decode())
    await database.write(lambda tx: key_store.add_key(tx, row))
    keys = await open_keys(database, tmp_path)
    assert keys.current.signing.kid == plain.kid
    (kept,) = await stored(database)
    assert "PRIVATE KEY" not in kept.private_pem
    assert (tmp_path / "sts-key").stat().st_mode & 0o777 == 0o600


def first_line(path: Path) -> bytes:
    return path.read_bytes().split()[0]


async def test_the_key_file_can_be_changed(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "sts-key"
    before = await open_keys(database, tmp_path)
    old = first_line(path)
    path.write_bytes(base64.b64encode(os.urandom(32)) + b"\n" + old + b"\n")
    await open_keys(database, tmp_path)
    path.write_bytes(first_line(path) + b"\n")
    assert (await open_keys(database, tmp_path)).current.signing.kid == before.current.signing.kid
    path.write_bytes(old)
    with pytest.raises(StartError, match=r"sts-key does not hold the key [0-9a-f]{16} .*: put it back"):
        await open_keys(database, tmp_path)
    path.unlink()
    with pytest.raises(StartError, match="sts-key is missing"):
        await open_keys(database, tmp_path)
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"no key", base64.b64encode(b"short"), b"\x00\xff"])
def test_what_is_no_key_file_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sts-key"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(StartError, match="sts-key is no key file"):
        open_key_file(path, holds="keys", entropy=os.urandom, make=True)
    path.chmod(0o644)
    with pytest.raises(StartError, match="open to other users"):
        open_key_file(path, holds="keys", entropy=os.urandom, make=True)


def test_an_envelope_is_for_one_key_and_unchanged(tmp_path: Path) -> None:
    key_file = open_key_file(tmp_path / "sts-key", holds="keys", entropy=Random(1).randbytes, make=True)  # noqa: S311
    envelope = key_file.seal("one", b"secret")
    assert key_file.open("one", envelope) == b"secret"
    head, _, text = envelope.rpartition(".")
    flipped = ("A" if text[20] != "A" else "B").join((text[:20], text[21:]))
    bad = [
        ("two", envelope),
        ("one", f"{head}.{flipped}"),
        ("one", f"{head}.*"),
        ("one", "rubbish"),
        ("one", f"x{envelope}"),
    ]
    for kid, changed in bad:
        with pytest.raises(ValueError, match="envelope"):
            key_file.open(kid, changed)


async def test_a_damaged_signing_key_stops_the_start(database: Database, tmp_path: Path) -> None:
    keys = await open_keys(database, tmp_path)
    assert isinstance(keys, SigningKeys)
    await database.write(lambda tx: tx.execute("UPDATE signing_keys SET private_pem = 'rubbish'"))
    with pytest.raises(StartError, match="damaged"):
        await open_keys(database, tmp_path)
