"""The signing keys of one database, as one process knows them, and the task that moves them through their states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from ordermgmt.errors import Conflict, Error, StartError
from ordermgmt.security.key_file import KeyFile
from ordermgmt.security.keys import SigningAlgorithm, SigningKey, VerificationKey
from ordermgmt.storage import Database, Transaction
from ordermgmt.sts import key_store
from ordermgmt.sts.key_rotation import Activate, Change, Drop, KeyState, Publish, Schedule, StoredKey, plan
from ordermgmt.supervision.bells import Bell
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.threads import Threads

__all__ = ["POLL", "KeySet", "SigningKeys", "open_signing_keys"]

POLL = 0.5
"""Seconds between two looks at the keys that are kept: what a command or another replica did is noticed within it."""

_log = get_logger("sts")


@dataclass(frozen=True, slots=True)
class KeySet:
    """All keys at one moment: what signs, and what is published (RFC 7517 section 5)."""

    signing: SigningKey
    published: Sequence[SigningKey]
    verification: Mapping[str, VerificationKey]

    @classmethod
    def of(cls, signing: SigningKey, *others: SigningKey) -> KeySet:
        """Return a set in which `signing` signs and all are published."""
        keys = (signing, *others)
        return cls(signing, keys, {key.kid: key.verification_key() for key in keys})

    @property
    def algorithms(self) -> tuple[str, ...]:
        """What tokens may be signed with."""
        return tuple(dict.fromkeys(key.algorithm for key in self.published))

    def jwks(self) -> Mapping[str, Any]:
        """Return the public keys as a JWK set."""
        return {"keys": [key.public_jwk() for key in self.published]}


class SigningKeys:
    """The keys in `database`. `current` is always a whole set; `run` keeps it up to date. Made by `open_signing_keys`.

    New keys are for `algorithm`. The database, whose clock is the one for all replicas, stays the caller's.
    """

    def __init__(
        self, database: Database, key_file: KeyFile, schedule: Schedule, algorithm: SigningAlgorithm, threads: Threads
    ) -> None:
        self._database = database
        self._key_file = key_file
        self._schedule = schedule
        self._algorithm: SigningAlgorithm = algorithm
        self._threads = threads
        self._stored: Sequence[StoredKey] = ()
        self._read: dict[str, SigningKey] = {}
        self._current: KeySet | None = None

    @property
    def current(self) -> KeySet:
        """The keys as they are now."""
        if self._current is None:
            msg = "the keys have not been read yet"
            raise RuntimeError(msg)
        return self._current

    @property
    def stored(self) -> Sequence[StoredKey]:
        """The keys as they are kept, as of the last look."""
        return self._stored

    async def open(self) -> None:
        """Make the first key if there is none, encrypt what is not encrypted with the key file's first, read them all.

        Of several first starts at once all come to the same key. Raises StartError if what is kept cannot be read.
        """
        keys = await self._database.read(key_store.load_keys)
        if not any(key.state is KeyState.ACTIVE for key in keys):
            await self._add(KeyState.ACTIVE)
            keys = await self._database.read(key_store.load_keys)
        for key in keys:
            if not self._key_file.is_current(key.private_pem):
                envelope = self._key_file.seal(key.kid, self._signing_key(key).to_pem())
                await self._database.write(partial(_reseal, key, envelope))
                _log.info("signing-key-encrypted", kid=key.kid)
        await self.refresh()

    async def refresh(self) -> float:
        """Read the keys if they changed; return the time of the database. Raises StartError, or what a read raises."""
        now, keys = await self._database.read(lambda tx: (tx.now(), key_store.load_keys(tx)))
        if keys != self._stored:
            read = {key.kid: self._read.get(key.kid) or self._signing_key(key) for key in keys}
            active = [read[key.kid] for key in keys if key.state is KeyState.ACTIVE]
            if not active:
                msg = "the token service's database has no signing key any more"
                raise StartError(msg)
            others = [key for key in read.values() if key is not active[0]]
            self._read, self._stored, self._current = read, keys, KeySet.of(active[0], *others)
        return now

    async def advance(self) -> None:
        """Do what is due by schedule. Raises as `refresh` does, and what a write raises."""
        now = await self.refresh()
        changes = plan(self._stored, now, self._schedule)
        for change in changes:
            await self._apply(change)
        if changes:
            await self.refresh()

    async def rotate(self) -> StoredKey:
        """Publish a next key, unless there is one, and return it; it signs when it has been published long enough.

        Raises Conflict if somebody else replaced the keys meanwhile.
        """
        await self._add(KeyState.NEXT)
        await self.refresh()
        for key in self._stored:
            if key.state is KeyState.NEXT:
                return key
        raise Conflict("keys-changed", "the signing keys were changed by somebody else at the same time")

    async def replace(self) -> StoredKey:
        """Have a new key sign at once, and forget all others: for a key that somebody may have stolen.

        What they signed is refused as soon as verifiers have seen it, within 5 minutes; until then, and at most once
        in 5 seconds, they ask for a key that they do not know, so that some tokens are refused. Raises Conflict if
        somebody else does the same now.
        """
        made = await self._make()
        done = await self._database.write(
            lambda tx: key_store.replace_all(tx, self._row(made, KeyState.ACTIVE, tx.now()))
        )
        if not done:
            raise Conflict("keys-changed", "the signing keys were changed by somebody else at the same time")
        _log.warning("signing-keys-replaced", kid=made.kid)
        await self.refresh()
        return next(key for key in self._stored if key.kid == made.kid)

    def signs_at(self, key: StoredKey) -> float:
        """Return when the next key `key` begins to sign, in seconds since 1970."""
        return key.since + self._schedule.publish_ahead

    def changes_at(self, key: StoredKey) -> float | None:
        """Return when `key` leaves its state by schedule, in seconds since 1970; None if only on command."""
        match key.state:
            case KeyState.NEXT:
                return self.signs_at(key)
            case KeyState.ACTIVE:
                return key.since + self._schedule.period if self._schedule.period else None
            case KeyState.RETIRING:
                return key.since + self._schedule.retain

    async def run(self, wanted: Bell, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the keys up to date until cancelled; a ring of `wanted` asks for a next key.

        While the database is away, or damaged, the last good keys serve.
        """
        task_status.started()
        heard, failure = wanted.rings, ""
        while True:
            try:
                if wanted.rings != heard:
                    await self.rotate()
                    heard = wanted.rings
                await self.advance()
                failure = ""
            except (Error, StartError) as error:
                if str(error) != failure:
                    failure = str(error)
                    _log.error("signing-keys-not-read", reason=failure)
            await trio.sleep(POLL)

    async def _apply(self, change: Change) -> None:
        match change:
            case Publish():
                await self._add(KeyState.NEXT)
            case Activate(kid, replaces):
                if await self._database.write(lambda tx: key_store.activate_key(tx, kid, replaces, int(tx.now()))):
                    _log.info("signing-key-activated", kid=kid, replaces=replaces)
            case Drop(kid):
                if await self._database.write(lambda tx: key_store.drop_key(tx, kid)):
                    _log.info("signing-key-dropped", kid=kid)

    async def _add(self, state: KeyState) -> None:
        made = await self._make()
        if await self._database.write(lambda tx: key_store.add_key(tx, self._row(made, state, tx.now()))):
            _log.info("signing-key-made", kid=made.kid, state=str(state))

    async def _make(self) -> SigningKey:
        return await self._threads.run(partial(SigningKey.generate, self._algorithm))

    def _row(self, key: SigningKey, state: KeyState, now: float) -> StoredKey:
        envelope = self._key_file.seal(key.kid, key.to_pem())
        return StoredKey(key.kid, key.algorithm, state, int(now), int(now), envelope)

    def _signing_key(self, stored: StoredKey) -> SigningKey:
        try:
            plain = _is_plain(stored.private_pem)
            pem = stored.private_pem.encode() if plain else self._key_file.open(stored.kid, stored.private_pem)
            return SigningKey.from_pem(pem)
        except ValueError as error:
            msg = f"the signing key {stored.kid} in the token service's database is damaged: {error}"
            raise StartError(msg) from error


def _is_plain(private_pem: str) -> bool:
    """Tell whether a key was kept before keys were encrypted."""
    return private_pem.startswith("-----BEGIN")


def _reseal(key: StoredKey, envelope: str, transaction: Transaction) -> bool:
    return key_store.reseal_key(transaction, key.kid, key.private_pem, envelope)


async def open_signing_keys(
    database: Database,
    open_key_file: Callable[[bool], KeyFile],
    *,
    schedule: Schedule,
    algorithm: SigningAlgorithm,
    threads: Threads,
) -> SigningKeys:
    """Read the signing keys; without one make one for `algorithm` and keep it before it signs anything.

    `open_key_file` is told whether it may make the file: not when there are keys that only the lost one would open.
    Raises StartError if what is kept cannot be read.
    """

    def sealed(transaction: Transaction) -> bool:
        return any(not _is_plain(key.private_pem) for key in key_store.load_keys(transaction))

    make = not await database.read(sealed)
    key_file = await threads.run(partial(open_key_file, make))
    keys = SigningKeys(database, key_file, schedule, algorithm, threads)
    await keys.open()
    return keys
