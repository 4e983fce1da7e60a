"""Passwords as argon2id digests (RFC 9106). Checking one is slow on purpose, so how much of it happens is bounded."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import trio
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from ordermgmt.errors import InvalidRequest, TooManyRequests, Unavailable
from ordermgmt.ids import Entropy
from ordermgmt.threads import Threads

__all__ = ["Passwords", "Turn"]

TIME_COST, MEMORY_COST, PARALLELISM = 2, 19 * 1024, 1
"""Two passes over 19 MiB: about 30 ms on one core."""
AT_ONCE = 2
"""Digests that are computed at once: 38 MiB."""
QUEUE = 32
"""Callers that may wait: the last one waits for 32 / 2 * 30 ms, half a second."""
EACH = 8
"""Of these 34, for one owner: it makes the others wait for 8 / 2 * 30 ms at most, and leaves 26 turns to them."""
MAX_BYTES = 1024
"""Of a password."""

_SALT_BYTES, _HASH_BYTES = 16, 32
_HASHER = PasswordHasher(
    time_cost=TIME_COST, memory_cost=MEMORY_COST, parallelism=PARALLELISM, hash_len=_HASH_BYTES, salt_len=_SALT_BYTES
)


def _nobody() -> str:
    """Return a digest that costs as much to check as any other, and that no password is known to have."""
    salt, digest = (b64encode(bytes(size)).rstrip(b"=").decode("ascii") for size in (_SALT_BYTES, _HASH_BYTES))
    return f"$argon2id$v=19$m={MEMORY_COST},t={TIME_COST},p={PARALLELISM}${salt}${digest}"


_NOBODY = _nobody()


class Passwords:
    """Makes and checks digests of passwords, two at once and 32 waiting."""

    def __init__(self, threads: Threads, entropy: Entropy) -> None:
        self._threads = threads
        self._entropy = entropy
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        self._inside = 0
        self._owners: Counter[str] = Counter()

    async def digest(self, password: str) -> str:
        """Return the digest to keep, parameters and salt included.

        Raises InvalidRequest if the password is empty or over 1024 bytes, Unavailable if the queue is full.
        """
        data = _encode(password)
        if not 0 < len(data) <= MAX_BYTES:
            raise InvalidRequest("unusable-password", f"a password has 1 to {MAX_BYTES} bytes")
        salt = self._entropy(_SALT_BYTES)
        with self.turn():
            return await self._threads.run(lambda: _HASHER.hash(data, salt=salt), limiter=self._limiter)

    async def verify(self, digest: str | None, password: str) -> bool:
        """Check a password as `Turn.verify` does, in a turn of its own. Raises as `turn` does."""
        with self.turn() as turn:
            return await turn.verify(digest, password)

    @contextmanager
    def turn(self, owner: str = "") -> Iterator[Turn]:
        """Take a place in the queue for the length of the block, before any other work is done for a password.

        An `owner` is whoever must not have the queue to itself: an address. Raises Unavailable if the queue is full,
        TooManyRequests if it has eight of this owner already.
        """
        if self._inside >= AT_ONCE + QUEUE:
            raise Unavailable("passwords-busy", "too many passwords are being checked", retry_after=1)
        if owner and self._owners[owner] >= EACH:
            raise TooManyRequests("too-many-logins", "too many passwords from there are being checked", retry_after=1)
        self._inside += 1
        self._owners[owner] += 1
        try:
            yield Turn(self._threads, self._limiter)
        finally:
            self._inside -= 1
            self._owners[owner] -= 1
            if not self._owners[owner]:
                del self._owners[owner]


class Turn:
    """A place in the queue."""

    def __init__(self, threads: Threads, limiter: trio.CapacityLimiter) -> None:
        self._threads = threads
        self._limiter = limiter

    async def verify(self, digest: str | None, password: str) -> bool:
        """Tell whether `password` is the one of `digest`; None stands for a user that does not exist.

        Both answers, and both kinds of user, take the same work. Raises one of argon2's own errors if `digest` is no
        digest: a fault of ours.
        """
        data = _encode(password)
        expected = digest if digest is not None and len(data) <= MAX_BYTES else _NOBODY
        return await self._threads.run(lambda: _matches(expected, data[:MAX_BYTES]), limiter=self._limiter)


def _encode(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


def _matches(digest: str, password: bytes) -> bool:
    try:
        return _HASHER.verify(digest, password)
    except VerifyMismatchError:
        return False
