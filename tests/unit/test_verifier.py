"""What the verifier remembers, whose keys it uses, and when it asks for them."""

from __future__ import annotations

import hashlib

import pytest

from ordermgmt.errors import StartError, Unauthenticated, Unavailable
from ordermgmt.security import binding, jwk_set
from ordermgmt.security.keys import FixedKeys, VerificationKey
from ordermgmt.security.peer import Peer
from ordermgmt.security.tokens import TrustedIssuer
from ordermgmt.security.verifier import CACHE_SIZE, TokenVerifier
from tests.unit.jose_setup import (
    ALGORITHMS,
    KEYS,
    NOW,
    STRANGER,
    THUMBPRINT,
    TRUST,
    VALID,
    claims,
    document,
    header,
    sign,
)


class Clock:
    time = NOW

    def now(self) -> float:
        return self.time


class Counting(FixedKeys):
    """Keys that count how often they verify, and can be taken away."""

    def __init__(self, *kids: str) -> None:
        super().__init__(KEYS[kid] for kid in kids)
        self.asked = 0

    async def find(self, kid: str) -> VerificationKey:
        self.asked += 1
        return await super().find(kid)

    def forget(self) -> None:
        self._keys.clear()


PEER = Peer("gateway", "spiffe://example/gateway", THUMBPRINT)


async def test_what_is_remembered_is_still_checked_on_every_use() -> None:
    clock = Clock()
    verifier = TokenVerifier([(TRUST, Counting("ES256"))], clock)
    bound = sign(header(), claims(cnf=binding.confirmation(THUMBPRINT)))
    for _ in range(2):
        assert (await verifier.verify(bound, PEER)).sub == "alice"
        with pytest.raises(Unauthenticated, match="binding-without-certificate"):
            await verifier.verify(bound, None)
        with pytest.raises(Unauthenticated, match="binding-mismatch"):
            await verifier.verify(bound, Peer("gateway", None, "another"))
    clock.time = NOW + 60
    with pytest.raises(Unauthenticated, match="expired"):
        await verifier.verify(bound, PEER)


async def test_what_is_remembered_needs_no_second_signature_check_and_dies_with_its_key() -> None:
    keys = Counting("ES256")
    verifier = TokenVerifier([(TRUST, keys)], Clock())
    assert await verifier.verify(VALID) is await verifier.verify(VALID)
    assert keys.asked == 0
    keys.forget()
    with pytest.raises(Unauthenticated, match="unknown-key"):
        await verifier.verify(VALID)
    assert keys.asked == 1


async def test_a_key_that_kept_its_kid_but_changed_ends_what_it_proved() -> None:
    keys = Counting("ES256")
    verifier = TokenVerifier([(TRUST, keys)], Clock())
    await verifier.verify(VALID)
    member = STRANGER.as_dict(private=False) | {"kid": "ES256"}
    keys._keys = jwk_set.read_key_set(document(member), ALGORITHMS)
    with pytest.raises(Unauthenticated, match="bad-signature"):
        await verifier.verify(VALID)


async def test_the_key_of_one_issuer_never_verifies_the_token_of_another() -> None:
    other = TrustedIssuer("https://other.example", "order", ALGORITHMS)
    verifier = TokenVerifier([(TRUST, Counting("ES256")), (other, Counting("RS256"))], Clock())
    await verifier.verify(VALID)
    await verifier.verify(sign(header("RS256"), claims(iss=other.issuer), algorithm="RS256"))
    with pytest.raises(Unauthenticated, match="unknown-key"):
        await verifier.verify(sign(header(), claims(iss=other.issuer)))
    with pytest.raises(Unauthenticated, match="unknown-key"):
        await verifier.verify(sign(header("RS256"), claims(), algorithm="RS256"))


async def test_a_token_that_no_key_could_save_asks_for_none() -> None:
    keys = Counting()
    verifier = TokenVerifier([(TRUST, keys)], Clock())
    for head in (header(alg="none"), header(typ="JWT"), header(crit=["x"])):
        with pytest.raises(Unauthenticated):
            await verifier.verify(sign(head, claims()))
    with pytest.raises(Unauthenticated, match="no-token"):
        await verifier.verify(None)
    assert keys.asked == 0


async def test_memory_of_tokens_is_bounded_and_keeps_those_in_use() -> None:
    verifier = TokenVerifier([(TRUST, Counting("ES256"))], Clock())
    await verifier.verify(VALID)
    for number in range(CACHE_SIZE + 5):
        await verifier.verify(sign(header(), claims(jti=str(number))))
        if number % 100 == 0:
            await verifier.verify(VALID)
    assert len(verifier._proven) == CACHE_SIZE
    assert hashlib.sha256(VALID.encode()).digest() in verifier._proven


async def test_a_refused_token_is_not_remembered() -> None:
    verifier = TokenVerifier([(TRUST, Counting("ES256"))], Clock())
    for forged in ("", VALID + "=", sign(header(), claims(), STRANGER), sign(header(), claims(sub=""))):
        with pytest.raises(Unauthenticated):
            await verifier.verify(forged)
    assert not verifier._proven


async def test_an_issuer_without_keys_is_not_the_token_s_fault() -> None:
    class Away(FixedKeys):
        async def find(self, kid: str) -> VerificationKey:
            raise Unavailable("keys-unavailable", kid)

    with pytest.raises(Unavailable):
        await TokenVerifier([(TRUST, Away([]))], Clock()).verify(VALID)


def test_an_issuer_is_configured_once() -> None:
    with pytest.raises(StartError, match="twice"):
        TokenVerifier([(TRUST, FixedKeys([])), (TRUST, FixedKeys([]))], Clock())
