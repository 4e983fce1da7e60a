"""What the token service does with tokens."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from ordermgmt.clock import Clock
from ordermgmt.errors import Error, Unauthenticated, Unavailable
from ordermgmt.security.peer import Peer
from ordermgmt.security.principal import Principal
from ordermgmt.storage import Database, Transaction
from ordermgmt.sts import authorization_store, family_store, key_store, revocation_store, store
from ordermgmt.sts.contract import (
    AUDIENCE,
    OIDC_SCOPES,
    TokenResponse,
    client_subject,
    is_opaque_token,
    is_refresh_token,
)
from ordermgmt.sts.core import Core, Snapshot
from ordermgmt.sts.domain import Authority, profile
from ordermgmt.sts.family import CompromisedError, Family, Presented
from ordermgmt.sts.grants import decide
from ordermgmt.sts.introspection import FoundToken, introspect, revoke
from ordermgmt.sts.mint import Issued, Mint, Outcome, ReadBack, Redeemed, token_digest
from ordermgmt.sts.registration import Client
from ordermgmt.sts.rules import Rules
from ordermgmt.sts.token_request import TokenRequest
from ordermgmt.telemetry.requests import note_principal

__all__ = ["TokenService", "claims_of"]

ATTEMPTS = 4
"""How often a request is decided anew because another one was faster: the second time a code is used and a refresh
token is rotated, the third time its successor may be as well, and then it is dead."""


class TokenService:
    """Issues tokens to clients. `system` has the clients that are not in the database, by id."""

    def __init__(
        self, database: Database, mint: Mint, rules: Rules, system: Mapping[str, Client], clock: Clock
    ) -> None:
        self._database = database
        self._mint = mint
        self._rules = rules
        self._system = system
        self._clock = clock

    async def issue_token(self, request: TokenRequest) -> TokenResponse:
        """Answer a token request: read all that it needs, decide without I/O, then save the outcome, if it is to be.

        A token is on disk before it is returned; cancelled, it may be there and in nobody's hands. Raises
        OAuthError, or Unavailable or OutcomeUnknown of the database.
        """
        for _ in range(ATTEMPTS):
            now = self._clock.now()
            snapshot = await self._database.read(partial(self._load, request=request, now=now))
            outcome = self._decide(request, snapshot, now)
            self._note(request)
            if isinstance(outcome, CompromisedError):
                await self._end_family(outcome.family_id, int(now))
                raise outcome
            if await self._save(outcome, int(now)):
                return (outcome if isinstance(outcome, Issued) else outcome.issued).response
        raise Unavailable("token-busy", "others use the same code or refresh_token", retry_after=1)

    def _decide(self, request: TokenRequest, snapshot: Snapshot, now: float) -> Outcome | CompromisedError:
        try:
            return decide(request, snapshot, self._rules, self._mint, now)
        except CompromisedError as error:
            return error

    async def introspect(self, request: TokenRequest) -> Mapping[str, Any]:
        """Answer an introspection request (RFC 7662). Raises as `issue_token` does."""
        core, found = await self._examine(request)
        answer = introspect(core, request, found)
        self._note(request)
        return answer

    async def revoke(self, request: TokenRequest) -> None:
        """Answer a revocation request (RFC 7009): what it ends has ended when this returns. Raises as `issue_token`."""
        core, found = await self._examine(request)
        ended = revoke(core, request, found)
        self._note(request)
        if isinstance(ended, Family):
            await self._end_family(ended.id, int(core.now))
        elif ended is not None:
            digest = token_digest(request.get("token"))
            await self._database.write(lambda transaction: store.remove_access_token(transaction, digest))

    async def authenticate(self, token: str | None, peer: Peer | None = None) -> Principal:
        """Return whom a token comes from: an opaque one says who the user is, and gives nothing else here.

        A JWT has to be exchanged for this very service, and come over a connection of the service that acts with it.
        Raises Unauthenticated.
        """
        if token is None:
            raise Unauthenticated("no-token")
        if not is_opaque_token(token):
            return await self._authenticate_exchanged(token, peer)
        principal = await self._authenticate_opaque(token)
        return msgspec.structs.replace(principal, scopes=principal.scopes & OIDC_SCOPES)

    async def _authenticate_exchanged(self, token: str, peer: Peer | None) -> Principal:
        principal = self._mint.verify(token, self._rules.issuer, AUDIENCE, self._clock.now())
        if peer is None or peer.name is None or principal.actor != client_subject(peer.name):
            raise Unauthenticated("actor-mismatch", f"token of {principal.actor!a:.80}")
        ids = [one for one in (principal.sid, *principal.revocable_by) if one is not None]
        if await self._database.read(partial(revocation_store.is_revoked, ids=ids, issued_at=principal.issued_at)):
            raise Unauthenticated("token-revoked")
        return principal

    async def _authenticate_opaque(self, token: str) -> Principal:
        now, digest = self._clock.now(), token_digest(token)
        found = await self._database.read(
            lambda transaction: store.find_access_token(transaction, digest, self._rules.issuer)
        )
        if found is None or found.expires_at <= now:
            raise Unauthenticated("unknown-token")
        details = profile(found)
        return Principal(
            iss=found.issuer,
            sub=found.subject,
            scopes=found.scopes,
            client_id=found.client_id,
            name=details.get("preferred_username", ""),
            full_name=details.get("name"),
            sid=found.sid or None,
            expires_at=found.expires_at,
        )

    async def unready_reason(self) -> str | None:
        """Return why no token can be issued now, or None."""
        try:
            await self._database.read(key_store.load_keys)
        except Error as error:
            return str(error)
        return None

    def jwks(self) -> Mapping[str, Any]:
        """Return the public keys that tokens are verified with (RFC 7517 section 5)."""
        return self._mint.jwks()

    def _note(self, request: TokenRequest) -> None:
        """Let the log say which client has authenticated."""
        note_principal(self._rules.issuer, client_subject(request.client_id))

    def _load(self, transaction: Transaction, request: TokenRequest, now: float) -> Snapshot:
        client = self._client(transaction, request)
        code, refresh_token = request.get("code"), request.get("refresh_token")
        return Snapshot(
            client,
            subject=self._subject(transaction, request, client, now),
            code=authorization_store.find_code(transaction, token_digest(code)) if code else None,
            family=self._family(transaction, refresh_token),
        )

    def _client(self, transaction: Transaction, request: TokenRequest) -> Client | None:
        return self._system.get(request.client_id) or store.find_client(transaction, request.client_id)

    def _family(self, transaction: Transaction, token: str) -> Family | None:
        if not is_refresh_token(token):
            return None
        return family_store.find_family(transaction, token_digest(token), self._rules.issuer)

    def _subject(
        self, transaction: Transaction, request: TokenRequest, client: Client | None, now: float
    ) -> Authority | None:
        """Return what the subject token of an exchange says if it is good for the client and its session goes on."""
        token, issuer = request.get("subject_token"), self._rules.issuer
        if client is None or not token:
            return None
        if is_opaque_token(token):
            return store.find_access_token(transaction, token_digest(token), issuer)
        thumbprint = request.thumbprint if client.certificate_uri else ""
        return self._unless_revoked(transaction, self._mint.read(token, issuer, client.id, now, thumbprint))

    def _unless_revoked(self, transaction: Transaction, found: ReadBack | None) -> Authority | None:
        if found is None:
            return None
        authority, issued_at = found
        ids = [authority.sid, *authority.revocable_by]
        return None if revocation_store.is_revoked(transaction, ids, issued_at) else authority

    async def _examine(self, request: TokenRequest) -> tuple[Core, FoundToken]:
        now = self._clock.now()

        def load(transaction: Transaction) -> tuple[Core, FoundToken]:
            snapshot = Snapshot(self._client(transaction, request))
            found = self._find(transaction, request.get("token"), now)
            return Core(snapshot, self._rules, self._mint, now), found

        return await self._database.read(load)

    def _find(self, transaction: Transaction, token: str, now: float) -> FoundToken:
        issuer = self._rules.issuer
        if is_opaque_token(token):
            return FoundToken(store.find_access_token(transaction, token_digest(token), issuer), opaque=True)
        family = self._family(transaction, token)
        if family is not None:
            return FoundToken(family=family, current=not family.ended and family.current == token_digest(token))
        return FoundToken(self._unless_revoked(transaction, self._mint.issued_here(token, issuer, now)))

    async def _save(self, outcome: Outcome, now: int) -> bool:
        """Save all of an outcome or nothing of it: False if what it stands on has changed since it was read."""
        if isinstance(outcome, Issued) and not outcome.digest:
            return True
        try:
            await self._database.write(lambda transaction: _save(transaction, outcome, now))
        except _Overtaken:
            return False
        return True

    async def _end_family(self, family_id: str, now: int) -> None:
        await self._database.write(lambda transaction: family_store.end_family(transaction, family_id, now))


def claims_of(principal: Principal) -> Mapping[str, str]:
    """Return what the userinfo endpoint says of whom `authenticate` returned (OpenID Connect Core section 5.3.2)."""
    claims = {"sub": principal.sub, "preferred_username": principal.name, "name": principal.full_name or ""}
    return {name: value for name, value in claims.items() if value}


class _Overtaken(Exception):
    """Another request was faster. Takes the transaction back."""


def _save(transaction: Transaction, outcome: Outcome, now: int) -> None:
    if isinstance(outcome, Issued):
        issued, done = outcome, True
    elif isinstance(outcome, Redeemed):
        issued = outcome.issued
        family_store.add_family(transaction, outcome.family, now)
        done = authorization_store.use_code(transaction, outcome.code_digest, outcome.family.id)
    else:
        issued = outcome.issued
        change = family_store.rotate if outcome.presented is Presented.CURRENT else family_store.repeat
        done = change(transaction, outcome.family, outcome.successor, now, outcome.ends_at)
    if not done:
        raise _Overtaken
    if issued.digest:
        store.save_access_token(transaction, issued.digest, issued.authority, now)
