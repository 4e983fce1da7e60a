"""Tokens of sessions: encrypted where they are kept, and replaced by one holder of a lease at a time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec
import trio

from ordermgmt.errors import StartError, Unauthenticated, Unavailable
from ordermgmt.gateway import session_store
from ordermgmt.gateway.provider import ConnectedProvider, GrantRefused, Provider, TokenAnswer
from ordermgmt.gateway.session_store import Lease
from ordermgmt.gateway.sessions import Session, Tokens, refresh_at
from ordermgmt.ids import Entropy, new_id
from ordermgmt.security.key_file import KeyFile
from ordermgmt.security.scopes import parse_scope
from ordermgmt.storage import Database
from ordermgmt.telemetry.logs import get_logger

__all__ = ["Refresher", "TokenSafe", "read_scopes"]

log = get_logger("gateway-sessions")

LEASE = 5.0
"""Seconds of a lease: more than a request to the provider may take, and less than for how long the STS takes a refresh
token again whose successor was lost (`sts.refresh_token_grace`). So if its holder dies, the next one goes on."""
POLL = 0.2
"""Seconds between two looks at a session whose lease another gateway has."""
PATIENCE = 2 * LEASE
"""Seconds that replacing the tokens may take in all, leases of others included."""
SAVE_RETRY = 0.5
"""Seconds between attempts to keep tokens while the database cannot: the old ones are good no more."""


class TokenSafe:
    """Encrypts the tokens of a session, each set for its own session."""

    def __init__(self, key_file: KeyFile) -> None:
        self._key_file = key_file

    def seal(self, digest: str, tokens: Tokens) -> str:
        """Return what is to be kept for the session `digest`."""
        return self._key_file.seal(digest, msgspec.json.encode(tokens))

    def open(self, session: Session) -> Tokens:
        """Return the tokens of a session. Raises Unauthenticated if nobody can read them here."""
        try:
            return msgspec.json.decode(self._key_file.open(session.digest, session.sealed), type=Tokens)
        except (StartError, ValueError, msgspec.DecodeError) as error:
            log.error("session-unreadable", reason=str(error))
            raise Unauthenticated("session-unreadable") from error


@dataclass(slots=True)
class _Flight:
    done: trio.Event = field(default_factory=trio.Event)
    result: Session | None = None
    error: Exception = field(default_factory=lambda: Unavailable("shutting-down", retry_after=1))


class Refresher:
    """Replaces tokens, once for all who wait: in this process by sharing a flight, among processes by a lease.

    A flight runs in `nursery`, so that a browser that goes away leaves no refresh token half used.
    """

    def __init__(
        self, database: Database, safe: TokenSafe, provider: Provider, entropy: Entropy, nursery: trio.Nursery
    ) -> None:
        self._database = database
        self._safe = safe
        self._provider = provider
        self._entropy = entropy
        self._nursery = nursery
        self._flights: dict[str, _Flight] = {}

    async def refresh(self, session: Session) -> Session:
        """Return the session with tokens that are newer than those of `session`.

        Raises Unauthenticated if there are none because the session is over, at the provider or here, and Unavailable
        if it cannot be told now; then the session is as it was.
        """
        flight = self._flights.get(session.digest)
        if flight is None:
            flight = self._flights[session.digest] = _Flight()
            self._nursery.start_soon(self._fly, session, flight)
        await flight.done.wait()
        if flight.result is None:
            # Shared by all waiters: without this it would collect the traceback of each.
            raise flight.error.with_traceback(None)
        return flight.result

    async def _fly(self, session: Session, flight: _Flight) -> None:
        try:
            with trio.fail_after(PATIENCE):
                flight.result = await self._replace(session)
        except trio.TooSlowError:
            flight.error = Unavailable("session-busy", "the session's tokens are being replaced", retry_after=1)
        except Exception as error:  # noqa: BLE001 - handed to every waiter, who raises it
            flight.error = error
        finally:
            del self._flights[session.digest]
            flight.done.set()

    async def _replace(self, session: Session) -> Session:
        tokens, holder = self._safe.open(session), new_id(self._entropy)
        provider = await self._provider.connected()
        while True:
            lease = await self._database.write(
                lambda transaction: session_store.take_lease(transaction, session, holder, LEASE)
            )
            if lease is Lease.TAKEN:
                return await self._replace_alone(provider, session, tokens, holder)
            if lease is not Lease.HELD:
                return await self._as_it_is(session)
            await trio.sleep(POLL)

    async def _replace_alone(
        self, provider: ConnectedProvider, session: Session, tokens: Tokens, holder: str
    ) -> Session:
        if not tokens.refresh:
            return await self._end(session, holder, "the access token has ended, and there is no refresh token")
        asked_at = await self._database.read(lambda transaction: transaction.now())
        answer = await _ask(provider, tokens.refresh)
        if isinstance(answer, GrantRefused):
            return await self._end(session, holder, str(answer))
        if isinstance(answer, Unavailable):
            await self._database.write(
                lambda transaction: session_store.release_lease(transaction, session.digest, holder)
            )
            raise answer
        renewed = self._renewed(session, tokens, answer, asked_at)
        return renewed if await self._save(renewed, holder) else await self._as_it_is(session)

    async def _as_it_is(self, before: Session) -> Session:
        """Return a session whose tokens somebody else has replaced. Raises Unauthenticated if it ended instead."""
        found = await self._database.read(lambda transaction: session_store.find_session(transaction, before.digest))
        if found is None or found.sealed == before.sealed:
            raise Unauthenticated("session-over")
        return found

    def _renewed(self, session: Session, tokens: Tokens, answer: TokenAnswer, asked_at: float) -> Session:
        """Return the session with its new tokens; what an answer leaves out stays as it was (RFC 6749 section 6)."""
        new = Tokens(answer.access_token, answer.refresh_token or tokens.refresh, answer.id_token or tokens.identity)
        return replace(
            session,
            sealed=self._safe.seal(session.digest, new),
            refresh_at=refresh_at(asked_at, answer.expires_in),
            scopes=read_scopes(answer, session.scopes),
        )

    async def _save(self, session: Session, holder: str) -> bool:
        """Keep the new tokens, however often it takes: who lost them could only have the user sign in again."""
        while True:
            try:
                return await self._database.write(
                    lambda transaction: session_store.replace_tokens(transaction, session, holder)
                )
            except Unavailable as error:
                log.warning("tokens-not-kept", reason=str(error), again_in=SAVE_RETRY)
                await trio.sleep(SAVE_RETRY)

    async def _end(self, session: Session, holder: str, reason: str) -> Session:
        """End a session that its issuer has ended; if somebody else has the lease by now, its outcome counts."""
        ended = await self._database.write(
            lambda transaction: session_store.end_session(transaction, session.digest, holder=holder)
        )
        if ended is None:
            return await self._as_it_is(session)
        log.info("session-ended", reason=reason)
        raise Unauthenticated("session-over")


async def _ask(provider: ConnectedProvider, refresh_token: str) -> TokenAnswer | GrantRefused | Unavailable:
    try:
        return await provider.refresh(refresh_token)
    except (GrantRefused, Unavailable) as refused:
        return refused


def read_scopes(answer: TokenAnswer, otherwise: frozenset[str]) -> frozenset[str]:
    """Return what an access token may do. Raises Unavailable if the answer's scope is none."""
    if answer.scope is None:
        return otherwise
    try:
        return parse_scope(answer.scope)
    except ValueError as error:
        raise Unavailable("provider-rubbish", "the provider answered with a malformed scope") from error
