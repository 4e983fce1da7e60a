"""What the token service does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ordermgmt.clock import Clock
from ordermgmt.errors import Error
from ordermgmt.storage import Database, Transaction
from ordermgmt.sts import store
from ordermgmt.sts.contract import (
    JWKS_PATH,
    ORDER_SCOPES,
    SERVICE_SCOPES,
    TOKEN_PATH,
    TokenResponse,
    is_opaque_token,
)
from ordermgmt.sts.grants import AUTH_METHODS, GRANT_TYPES, Snapshot, decide
from ordermgmt.sts.mint import Mint, token_digest
from ordermgmt.sts.registration import Client
from ordermgmt.sts.rules import Rules
from ordermgmt.sts.token_request import TokenRequest

__all__ = ["TokenService", "metadata"]


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
        now = self._clock.now()
        snapshot = await self._database.read(lambda transaction: self._load(transaction, request))
        issued = decide(request, snapshot, self._rules, self._mint, now)
        if issued.digest:
            await self._database.write(
                lambda transaction: store.save_access_token(transaction, issued.digest, issued.authority, int(now))
            )
        return issued.response

    async def unready_reason(self) -> str | None:
        """Return why no token can be issued now, or None."""
        try:
            await self._database.read(store.active_key)
        except Error as error:
            return str(error)
        return None

    def jwks(self) -> Mapping[str, Any]:
        """Return the public keys that tokens are verified with (RFC 7517 section 5)."""
        return self._mint.jwks()

    def _load(self, transaction: Transaction, request: TokenRequest) -> Snapshot:
        client = self._system.get(request.client_id) or store.find_client(transaction, request.client_id)
        token = request.get("subject_token")
        if not is_opaque_token(token):
            return Snapshot(client)
        return Snapshot(client, store.find_access_token(transaction, token_digest(token), self._rules.issuer))


def metadata(issuer: str, mtls_url: str) -> Mapping[str, Any]:
    """Return the metadata document (RFC 8414 section 2, RFC 8705 sections 3.3 and 5).

    There is no authorization endpoint, so there are no response types, and a list without elements is left out
    (RFC 8414 section 3.2).
    """
    return {
        "issuer": issuer,
        "token_endpoint": issuer + TOKEN_PATH,
        "jwks_uri": issuer + JWKS_PATH,
        "scopes_supported": sorted(ORDER_SCOPES | SERVICE_SCOPES),
        "grant_types_supported": list(GRANT_TYPES),
        "token_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "tls_client_certificate_bound_access_tokens": True,
        "mtls_endpoint_aliases": {"token_endpoint": mtls_url + TOKEN_PATH},
    }
