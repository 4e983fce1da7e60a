"""From a token to a principal: picks the issuer and its key, and remembers what was proven."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ordermgmt.clock import Clock
from ordermgmt.errors import StartError, Unauthenticated
from ordermgmt.security import tokens
from ordermgmt.security.keys import KeySource, VerificationKey
from ordermgmt.security.peer import Peer
from ordermgmt.security.principal import Principal
from ordermgmt.security.revocations import Revocations
from ordermgmt.security.tokens import SignedClaims, TrustedIssuer
from ordermgmt.telemetry.caches import Lookups

__all__ = ["TokenVerifier"]

CACHE_SIZE = 2048
"""Tokens. One takes about 2 KiB, and 24 KiB if every claim is as long as it may be: 4 MiB, at most 48 MiB."""


class _Issuer(NamedTuple):
    trust: TrustedIssuer
    keys: KeySource
    revocations: Revocations | None


class _Proven(NamedTuple):
    issuer: _Issuer
    key: VerificationKey
    claims: SignedClaims


class TokenVerifier:
    """Verifies the JWTs of the issuers that a service trusts. Keys of one issuer never verify tokens of another.

    What it remembers of a token is its signature and claims, under the token's digest; time, audience, binding and
    revocation are checked on every use, and nothing is remembered longer than the key that proved it is current.
    `revocations` are, by issuer, of those who tell of them; tokens of others are good until their end.
    """

    def __init__(
        self,
        issuers: Iterable[tuple[TrustedIssuer, KeySource]],
        clock: Clock,
        revocations: Mapping[str, Revocations] | None = None,
    ) -> None:
        self._issuers: dict[str, _Issuer] = {}
        for trust, keys in issuers:
            if trust.issuer in self._issuers:
                msg = f"issuer {trust.issuer} is configured twice"
                raise StartError(msg)
            self._issuers[trust.issuer] = _Issuer(trust, keys, (revocations or {}).get(trust.issuer))
        self._clock = clock
        self._proven: OrderedDict[bytes, _Proven] = OrderedDict()
        self.lookups = Lookups("verified_tokens", lambda: len(self._proven))
        """How often a token was known already."""

    async def verify(self, token: str | None, peer: Peer | None = None) -> Principal:
        """Return whom the token proves, presented over a connection of `peer` (None: without a certificate).

        Raises Unauthenticated with the reason (`no-token` for None), or Unavailable if the issuer's keys cannot be had,
        or it cannot be known whether the token was revoked. It may wait for the issuer's keys, and only for them;
        cancelling it harms nobody else.
        """
        if token is None:
            raise Unauthenticated("no-token")
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        proven = self._recall(digest)
        self.lookups.count(found=proven is not None)
        if proven is None:
            proven = await self._prove(token)
            self._remember(digest, proven)
        thumbprint = peer.thumbprint if peer is not None else None
        now = self._clock.now()
        principal = tokens.check_use(proven.claims, proven.issuer.trust, now, thumbprint)
        if proven.issuer.revocations is not None:
            proven.issuer.revocations.check(proven.claims.ids, proven.claims.issued_at, now)
        return principal

    def _recall(self, digest: bytes) -> _Proven | None:
        proven = self._proven.get(digest)
        if proven is None:
            return None
        if proven.issuer.keys.current(proven.key.kid) != proven.key:
            del self._proven[digest]
            return None
        self._proven.move_to_end(digest)
        return proven

    async def _prove(self, token: str) -> _Proven:
        unverified = tokens.parse(token)
        issuer = self._issuers.get(unverified.issuer)
        if issuer is None:
            raise Unauthenticated("unknown-issuer")
        kid = unverified.header.kid
        key = issuer.keys.current(kid)
        if key is None:
            # What no key could save must not make anybody ask for keys.
            tokens.check_header(unverified, issuer.trust)
            key = await issuer.keys.find(kid)
        return _Proven(issuer, key, tokens.check_signature(unverified, key, issuer.trust))

    def _remember(self, digest: bytes, proven: _Proven) -> None:
        self._proven[digest] = proven
        if len(self._proven) > CACHE_SIZE:
            self._proven.popitem(last=False)
