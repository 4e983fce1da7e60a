"""The keys of another issuer, fetched from its JWK set and kept fresh by one task.

Only that task ever fetches, so there is one fetch at a time, it outlives whoever asked for it, and no number of
strange tokens makes more than one in `COOL_DOWN` seconds. A document younger than that is also the negative
cache: a `kid` that it does not hold is unknown, without a list of unknown ones that somebody could make grow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from http import HTTPStatus
from math import inf

import trio

from ordermgmt.errors import Unauthenticated, Unavailable
from ordermgmt.net.outbound import HttpClient, Interrupted, Unreachable
from ordermgmt.security.jose_json import Refused
from ordermgmt.security.jwk_set import MAX_DOCUMENT, read_key_set
from ordermgmt.security.keys import VerificationKey
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.telemetry.metrics import Figure, Meter

__all__ = ["KEYS", "JwksClient", "JwksUnavailable", "fetch_over", "jwks_meter"]

KEYS = "keys"
"""What is asked of an issuer, as the name of that edge."""
REFRESH = 300.0
"""Seconds after which keys are fetched again, ahead of any need."""
STALE = 600.0
"""Seconds that keys are still used after a refresh was due and failed: 900 s after they were last seen, no key of
this issuer is trusted until it answers."""
COOL_DOWN = 5.0
"""Seconds from the start of one fetch to the earliest start of another that a token asks for."""
FETCH_TIMEOUT = 4.0
"""Seconds that a fetch may take: less than the cool-down, so a slow server is not asked all the time."""
WAIT = 5.0
"""Seconds that a request waits for a fetch."""
FIRST_RETRY, LAST_RETRY = 1.0, 30.0
"""Seconds between attempts while the issuer is away: doubled from the first to the last."""

_log = get_logger("security")


class JwksUnavailable(Exception):
    """The issuer's JWK set could not be fetched."""


class JwksClient:
    """A KeySource that fetches. `fetch` returns the document, or raises JwksUnavailable; it may be slow or huge.

    `algorithms` are those of the issuer that are trusted. Nothing is fetched until `run` runs.
    """

    def __init__(self, issuer: str, fetch: Callable[[], Awaitable[bytes]], algorithms: Collection[str]) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._algorithms = tuple(algorithms)
        self._keys: Mapping[str, VerificationKey] = {}
        self._fetched_at = -inf
        self._started_at = -inf
        self._fetching = False
        self._wanted = trio.Event()
        self._done = trio.Event()

    def figures(self) -> Sequence[Figure]:
        """Return how old the keys are, once there are some, and how many can be used."""
        labels = {"issuer": self._issuer}
        usable = len(self._keys) if self._has_keys() else 0
        figures = [
            Figure(
                "ordermgmt_jwks_keys", "gauge", "Keys of the issuer that are trusted now.", usable, labels,
                together="lowest",
            )
        ]  # fmt: skip
        if self._fetched_at > -inf:
            age = trio.current_time() - self._fetched_at
            figures.append(
                Figure("ordermgmt_jwks_age_seconds", "gauge", "Time since the keys were fetched last.", age, labels)
            )
        return figures

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the keys fresh until cancelled. Started at once: an issuer that is not there yet is waited for."""
        task_status.started()
        retry = FIRST_RETRY
        while True:
            if await self._refresh():
                pause, retry = REFRESH, FIRST_RETRY
            else:
                pause, retry = retry, min(retry * 2, LAST_RETRY)
            self._wanted = trio.Event()
            done, self._done = self._done, trio.Event()
            done.set()
            with trio.move_on_after(pause):
                await self._wanted.wait()

    def current(self, kid: str) -> VerificationKey | None:
        """Return the key as of the last fetch, unless that is too long ago. See `KeySource.current`."""
        return self._keys.get(kid) if self._has_keys() else None

    async def find(self, kid: str) -> VerificationKey:
        """Return the key, waiting up to 5 s for a fetch that may bring it.

        Raises Unauthenticated("unknown-key"), or Unavailable("keys-unavailable") while the issuer is away.
        Whoever is cancelled here cancels nobody else's wait, and no fetch.
        """
        key = self.current(kid)
        if key is None and self._may_ask():
            self._wanted.set()
            with trio.move_on_after(WAIT):
                await self._done.wait()
            key = self.current(kid)
        if key is not None:
            return key
        if not self._has_keys():
            raise Unavailable("keys-unavailable", "the keys of the token's issuer cannot be had", retry_after=5)
        raise Unauthenticated("unknown-key", f"kid {kid!a:.80}")

    def _has_keys(self) -> bool:
        return trio.current_time() < self._fetched_at + REFRESH + STALE

    def _may_ask(self) -> bool:
        return self._fetching or trio.current_time() >= self._started_at + COOL_DOWN

    async def _refresh(self) -> bool:
        """Fetch once. Whatever is wrong with the answer, the keys that are known stay as they are."""
        reason = "too-slow"
        keys = None
        self._started_at = trio.current_time()
        self._fetching = True
        try:
            with trio.move_on_after(FETCH_TIMEOUT):
                keys = read_key_set(await self._fetch(), self._algorithms)
        except (JwksUnavailable, Refused) as error:
            reason = str(error)
        finally:
            self._fetching = False
        if keys is None:
            _log.warning("keys-not-fetched", issuer=self._issuer, reason=reason)
            return False
        if keys != self._keys:
            _log.info("keys-changed", issuer=self._issuer, kids=sorted(keys))
        self._keys = keys
        self._fetched_at = trio.current_time()
        return True


def fetch_over(client: HttpClient, target: str) -> Callable[[], Awaitable[bytes]]:
    """Return a `fetch` that gets `target` (path and query) over `client`, and reads no more than a key set may be."""

    async def fetch() -> bytes:
        try:
            answer = await client.request(
                "GET", target, headers=[("accept", "application/json")], repeatable=True, max_answer=MAX_DOCUMENT
            )
        except (Unreachable, Interrupted) as error:
            raise JwksUnavailable(str(error)) from error
        if answer.status != HTTPStatus.OK:
            msg = f"the answer is {answer.status}"
            raise JwksUnavailable(msg)
        return answer.content

    return fetch


def jwks_meter(clients: Iterable[JwksClient]) -> Meter:
    """Return what reads the figures of all these."""
    all_clients = tuple(clients)

    async def figures() -> Sequence[Figure]:
        return [figure for client in all_clients for figure in client.figures()]

    return figures
