"""The rows of contract/test_unforgeable.py without a service round the verifier: the first to fail, in a second."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from ordermgmt.errors import Unauthenticated
from ordermgmt.security.jwk_set import read_key_set
from ordermgmt.security.keys import FixedKeys
from ordermgmt.security.tokens import TrustedIssuer
from ordermgmt.security.verifier import TokenVerifier
from tests.contract.unforgeable import claims, encoding, good, issuers, signatures
from tests.contract.unforgeable.forging import Row, Token

NOW = 1_767_225_600.0
GUARDS = ("malformed-credentials", "")
"""Codes of what does not get as far as the verifier."""


class Clock:
    def now(self) -> float:
        return NOW


def setting() -> tuple[TokenVerifier, Mapping[str, Token]]:
    """Return a verifier that trusts as the order service of the contract test does, and a good token of each base."""
    own = issuers.suite_token(NOW)
    member = {**own.key.as_dict(private=False), "kid": own.header["kid"], "alg": "ES256"}
    documents = issuers.documents()
    trusted = [(TrustedIssuer(issuers.SUITE, "order", ("ES256", "RS256")), {"keys": [member]})]
    for issuer in issuers.issuers(""):
        trust = TrustedIssuer(issuer.issuer, issuer.audience, issuer.algorithms, issuer.token_types, issuer.scopes)
        trusted.append((trust, documents[issuer.jwks_url[issuer.jwks_url.rindex("/") :]]))
    sources = [
        (trust, FixedKeys(read_key_set(json.dumps(document).encode(), trust.algorithms).values()))
        for trust, document in trusted
    ]
    return TokenVerifier(sources, Clock()), {"sts": own, **issuers.foreign_tokens(NOW)}


async def verdict(verifier: TokenVerifier, token: str) -> str:
    """Return the code of the refusal; "" if the token lets its subject add orders."""
    try:
        principal = await verifier.verify(token)
    except Unauthenticated as error:
        return error.code
    return "" if "add_order" in principal.scopes else "insufficient-scope"


@pytest.mark.parametrize(
    "table", [claims.rows, encoding.rows, signatures.rows], ids=lambda table: table.__module__.rpartition(".")[2]
)
async def test_a_token_changed_in_one_way_is_refused(
    table: Callable[[], list[Row]], capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    verifier, tokens = setting()
    for token in tokens.values():
        assert await verdict(verifier, token.text()) == ""
    for row in table():
        sent = row.forge(tokens[row.base])
        if row.code in GUARDS or not isinstance(sent, str):
            continue
        found = await verdict(verifier, sent)
        with subtests.test(row.name):
            assert found == row.code


async def test_what_the_rules_allow_is_accepted(capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests) -> None:
    verifier, tokens = setting()
    for name, base, forge in good.rows():
        sent = forge(tokens[base])
        if isinstance(sent, str):
            found = await verdict(verifier, sent)
            with subtests.test(name):
                assert found == ""
