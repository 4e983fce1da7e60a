"""The authorization endpoint's steps (RFC 6749 section 4.1): begin, have the user log in and consent, give a code.

Every verb that leads on returns the URL that the browser is sent to with 303: the login page, the consent page, or
the client's redirect URI with a code or an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from ordermgmt.clock import Clock
from ordermgmt.errors import NotFound
from ordermgmt.ids import Entropy, new_id
from ordermgmt.storage import Database, Transaction
from ordermgmt.sts import authorization_store, store
from ordermgmt.sts.authorization import Code, Missing, Pending, Session, answer_url, missing, offered_scopes
from ordermgmt.sts.authorization_request import check_redirect_uri, read_client, read_request, read_state
from ordermgmt.sts.contract import (
    ACCESS_DENIED,
    CODE_PREFIX,
    CONSENT_PATH,
    CONSENT_REQUIRED,
    LOGIN_PATH,
    LOGIN_REQUIRED,
    OAuthError,
)
from ordermgmt.sts.mint import token_digest
from ordermgmt.sts.registration import Client
from ordermgmt.sts.rules import Rules

__all__ = ["Authorizations", "Waiting"]


class Waiting(NamedTuple):
    """A request that waits for its user, and the client that sent it."""

    pending: Pending
    client: Client


class Authorizations:
    """Answers authorization requests. `system` has the clients that are not in the database, by id."""

    def __init__(
        self, database: Database, rules: Rules, system: Mapping[str, Client], entropy: Entropy, clock: Clock
    ) -> None:
        self._database = database
        self._rules = rules
        self._system = system
        self._entropy = entropy
        self._clock = clock

    async def begin(self, parameters: Sequence[tuple[str, str]], session: Session | None) -> str:
        """Take a request with all its parameters in order, from a browser with this session, and return where to go.

        Raises OAuthError if it cannot be said where the client wants its answer: that is for the user to see, and the
        browser is sent nowhere (RFC 6749 section 4.1.2.1). Every other mistake goes to the client.
        """
        now = int(self._clock.now())
        client_id, redirect_uri = read_client(parameters)
        found, consented = await self._database.read(lambda transaction: self._load(transaction, client_id, session))
        client = check_redirect_uri(found, redirect_uri)
        request_id = new_id(self._entropy, 32)
        try:
            pending = read_request(parameters, client, redirect_uri, self._rules, request_id=request_id, now=now)
        except OAuthError as refused:
            return self._refusal(redirect_uri, read_state(parameters), refused)
        needed = missing(pending, session, consented)
        if session is not None and needed is Missing.NOTHING:
            return await self._give_code(pending, session, now, waited=False)
        if pending.quiet:
            error = LOGIN_REQUIRED if needed is Missing.LOGIN else CONSENT_REQUIRED
            return self._refusal(redirect_uri, pending.state, OAuthError(error, "the user would have to see a page"))
        await self._database.write(lambda transaction: authorization_store.add_pending(transaction, pending, now))
        return self._page(needed, pending)

    async def pending(self, request_id: str) -> Waiting:
        """Return the request of a login or consent page. Raises NotFound("no-such-request") if it waits no more."""
        now = int(self._clock.now())

        def load(transaction: Transaction) -> Waiting:
            pending = _find(transaction, request_id, now)
            client = self._client(transaction, pending.client_id)
            if client is None:
                raise _gone()
            return Waiting(pending, client)

        return await self._database.read(load)

    async def grant_consent(self, request_id: str, session: Session) -> None:
        """Note that the session's user lets the client do what it asks for, as far as the user itself may.

        That is remembered for requests to come. `continue_authorization` is next. Raises NotFound as `pending` does.
        """
        now = int(self._clock.now())

        def save(transaction: Transaction) -> None:
            pending = _find(transaction, request_id, now)
            scopes = offered_scopes(pending, session)
            authorization_store.add_consent(transaction, session.user, pending.client_id, scopes, now)
            if not authorization_store.mark_consented(transaction, request_id, session.sid):
                raise _gone()

        await self._database.write(save)

    async def deny(self, request_id: str) -> str:
        """End a request because the user does not want it: `access_denied`. Raises NotFound as `pending` does."""
        now = int(self._clock.now())

        def save(transaction: Transaction) -> Pending:
            pending = _find(transaction, request_id, now)
            if not authorization_store.remove_pending(transaction, request_id):
                raise _gone()
            return pending

        pending = await self._database.write(save)
        return self._refusal(pending.redirect_uri, pending.state, OAuthError(ACCESS_DENIED, "the user said no"))

    async def continue_authorization(self, request_id: str, session: Session | None) -> str:
        """Go on with a request after a login or a consent, and return where to go: perhaps to the one still missing.

        A code is on disk before its URL is returned, and a request gives one code. Raises NotFound as `pending` does.
        """
        now = int(self._clock.now())

        def load(transaction: Transaction) -> tuple[Pending, Missing]:
            pending = _find(transaction, request_id, now)
            client, consented = self._load(transaction, pending.client_id, session)
            if client is None:
                raise _gone()
            return pending, missing(pending, session, consented)

        pending, needed = await self._database.read(load)
        if session is None or needed is not Missing.NOTHING:
            return self._page(needed, pending)
        return await self._give_code(pending, session, now, waited=True)

    async def _give_code(self, pending: Pending, session: Session, now: int, *, waited: bool) -> str:
        """Save a code for the request, which waits no more if it did, and return the URL that carries it."""
        scopes = offered_scopes(pending, session)
        if not scopes:
            refused = OAuthError(ACCESS_DENIED, "the user may do nothing of what is asked for")
            return self._refusal(pending.redirect_uri, pending.state, refused)
        token = CODE_PREFIX + new_id(self._entropy, 32)
        code = Code(
            client_id=pending.client_id,
            user=session.user,
            details=session.details,
            sid=session.sid,
            redirect_uri=pending.redirect_uri,
            scopes=scopes,
            audience=pending.audience,
            code_challenge=pending.code_challenge,
            auth_time=session.auth_time,
            expires_at=now + self._rules.authorization_code_lifetime,
            nonce=pending.nonce,
        )

        def save(transaction: Transaction) -> None:
            if waited and not authorization_store.remove_pending(transaction, pending.id):
                raise _gone()
            authorization_store.add_code(transaction, token_digest(token), code, now)

        await self._database.write(save)
        return answer_url(pending.redirect_uri, self._rules.issuer, pending.state, code=token)

    def _load(
        self, transaction: Transaction, client_id: str, session: Session | None
    ) -> tuple[Client | None, frozenset[str]]:
        client = self._client(transaction, client_id)
        if client is None or session is None:
            return client, frozenset()
        if client.first_party:
            return client, client.scopes_with_users
        return client, authorization_store.find_consent(transaction, session.user, client_id)

    def _client(self, transaction: Transaction, client_id: str) -> Client | None:
        return self._system.get(client_id) or store.find_client(transaction, client_id)

    def _page(self, needed: Missing, pending: Pending) -> str:
        path = CONSENT_PATH if needed is Missing.CONSENT else LOGIN_PATH
        return f"{self._rules.issuer}{path}?{urlencode({'request': pending.id})}"

    def _refusal(self, redirect_uri: str, state: str | None, error: OAuthError) -> str:
        return answer_url(
            redirect_uri, self._rules.issuer, state, error=error.error, error_description=error.description
        )


def _find(transaction: Transaction, request_id: str, now: int) -> Pending:
    pending = authorization_store.find_pending(transaction, request_id, now)
    if pending is None:
        raise _gone()
    return pending


def _gone() -> NotFound:
    return NotFound("no-such-request", "this request was answered already, or took too long")
