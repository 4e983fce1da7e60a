"""The gateway's cache of exchanged tokens."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio

from ordermgmt.errors import Unauthenticated, Unavailable
from ordermgmt.gateway import browsers, main
from ordermgmt.gateway import exchanges as module
from ordermgmt.gateway.exchanges import Exchanged, Exchanges
from ordermgmt.security.principal import Principal
from ordermgmt.security.revocations import RevocationLine, Revocations
from ordermgmt.sts.client import IssuedToken
from ordermgmt.testing.clocks import VirtualClock
from tests.unit.jose_setup import NOW, claims, header, sign

LIFE = 60.0
ASKED_AT = NOW + 20.0


class Sts:
    """Exchanges a token after a second, and counts."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.asked: list[tuple[str, str]] = []
        self.failure: Exception | None = None

    async def exchange(self, token: str, audience: str) -> Exchanged:
        self.asked.append((token, audience))
        asked_at = self.clock.now()
        await trio.sleep(1)
        if self.failure is not None:
            raise self.failure
        ids, principal = frozenset({f"id of {token[:1]}"}), Principal(iss="sts", sub="alice", scopes=frozenset())
        return Exchanged(f"{audience}-{len(self.asked)}", asked_at + LIFE, asked_at, ids, principal)


async def test_callers_of_one_token_share_one_exchange(autojump_clock: trio.abc.Clock, nursery: trio.Nursery) -> None:
    sts = Sts(clock := VirtualClock())
    kept = Exchanges(sts.exchange, revocations=Revocations("sts"), clock=clock, nursery=nursery)
    got: set[Exchanged] = set()

    async def call() -> None:
        got.add(await kept.get("a", "order"))

    async with trio.open_nursery() as callers:
        for _ in range(200):
            callers.start_soon(call)
    assert sts.asked == [("a", "order")]
    assert {exchanged.token for exchanged in got} == {"order-1"}


async def test_tokens_and_audiences_are_kept_apart(autojump_clock: trio.abc.Clock, nursery: trio.Nursery) -> None:
    sts = Sts(clock := VirtualClock())
    kept = Exchanges(sts.exchange, revocations=Revocations("sts"), clock=clock, nursery=nursery)
    for _ in range(2):
        tokens = [(await kept.get(*pair)).token for pair in (("a", "order"), ("a", "inventory"), ("b", "order"))]
        assert tokens == ["order-1", "inventory-2", "order-3"]
    assert len(sts.asked) == 3


async def test_a_caller_who_leaves_fails_nobody(autojump_clock: trio.abc.Clock, nursery: trio.Nursery) -> None:
    sts = Sts(clock := VirtualClock())
    kept = Exchanges(sts.exchange, revocations=Revocations("sts"), clock=clock, nursery=nursery)
    got: list[str] = []

    async def stays() -> None:
        got.append((await kept.get("a", "order")).token)

    async with trio.open_nursery() as others:
        with trio.move_on_after(0.5) as first:
            for _ in range(500):
                others.start_soon(stays)
            await kept.get("a", "order")
    assert first.cancelled_caught
    assert got == ["order-1"] * 500
    assert len(sts.asked) == 1


async def test_a_token_is_renewed_before_its_end(autojump_clock: trio.abc.Clock, nursery: trio.Nursery) -> None:
    sts = Sts(clock := VirtualClock())
    kept = Exchanges(sts.exchange, revocations=Revocations("sts"), clock=clock, nursery=nursery)
    await kept.get("a", "order")
    await trio.sleep(LIFE - module.SPARE - 1.5)
    assert (await kept.get("a", "order")).token == "order-1"
    await trio.sleep(1)
    assert (await kept.get("a", "order")).token == "order-2"


async def test_a_failure_reaches_all_waiters_and_is_not_kept(
    autojump_clock: trio.abc.Clock, nursery: trio.Nursery
) -> None:
    sts = Sts(clock := VirtualClock())
    kept = Exchanges(sts.exchange, revocations=Revocations("sts"), clock=clock, nursery=nursery)
    sts.failure = Unauthenticated("invalid-subject-token")
    refused = 0

    async def call() -> None:
        nonlocal refused
        with pytest.raises(Unauthenticated):
            await kept.get("a", "order")
        refused += 1

    async with trio.open_nursery() as callers:
        for _ in range(10):
            callers.start_soon(call)
    assert (refused, len(sts.asked)) == (10, 1)
    sts.failure = None
    assert (await kept.get("a", "order")).token == "order-2"


async def test_the_end_of_the_gateway_ends_the_wait(autojump_clock: trio.abc.Clock) -> None:
    sts = Sts(clock := VirtualClock())
    ended: list[str] = []

    async def call(kept: Exchanges) -> None:
        with pytest.raises(Unavailable) as refused:
            await kept.get("a", "order")
        ended.append(refused.value.code)

    async with trio.open_nursery() as callers:  # noqa: SIM117 - callers outlive flights
        async with trio.open_nursery() as flights:
            kept = Exchanges(sts.exchange, revocations=Revocations("sts"), clock=clock, nursery=flights)
            callers.start_soon(call, kept)
            await trio.sleep(0.5)
            flights.cancel_scope.cancel()
    assert ended == ["shutting-down"]


async def test_the_cache_is_bounded_and_forgets_what_was_used_longest_ago(
    autojump_clock: trio.abc.Clock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    sts = Sts(clock := VirtualClock())
    kept = Exchanges(sts.exchange, revocations=Revocations("sts"), clock=clock, nursery=nursery)
    for token in "abacab":
        await kept.get(token, "order")
    assert [token for token, _ in sts.asked] == ["a", "b", "c", "b"]


async def test_subject_tokens_are_not_kept(autojump_clock: trio.abc.Clock, nursery: trio.Nursery) -> None:
    sts = Sts(clock := VirtualClock())
    kept = Exchanges(sts.exchange, revocations=Revocations("sts"), clock=clock, nursery=nursery)
    await kept.get("oma_secret", "order")
    assert "oma_secret" not in repr(kept._kept)


def revoked(number: int, *ids: str) -> RevocationLine:
    return RevocationLine("e", number, 90, revoked=ids)


async def test_a_kept_token_that_is_revoked_is_exchanged_anew(
    autojump_clock: trio.abc.Clock, nursery: trio.Nursery
) -> None:
    sts, revocations = Sts(clock := VirtualClock()), Revocations("sts")
    kept = Exchanges(sts.exchange, revocations=revocations, clock=clock, nursery=nursery)
    for token in "ab":
        await kept.get(token, "order")
    revocations.apply(revoked(1, "id of a"))
    sts.failure = Unauthenticated("invalid-subject-token")
    with pytest.raises(Unauthenticated, match="invalid-subject-token"):
        await kept.get("a", "order")
    assert (await kept.get("b", "order")).token == "order-2"


async def test_a_token_that_is_revoked_while_it_is_exchanged_is_given_to_nobody(
    autojump_clock: trio.abc.Clock, nursery: trio.Nursery
) -> None:
    sts, revocations = Sts(clock := VirtualClock()), Revocations("sts")
    kept = Exchanges(sts.exchange, revocations=revocations, clock=clock, nursery=nursery)
    refused: list[str] = []

    async def call() -> None:
        with pytest.raises(Unauthenticated) as error:
            await kept.get("a", "order")
        refused.append(error.value.code)

    async with trio.open_nursery() as callers:
        for _ in range(3):
            callers.start_soon(call)
        await trio.sleep(0.5)
        revocations.apply(revoked(1, "id of a"))
    assert (refused, len(sts.asked)) == (["revoked"] * 3, 1)
    assert not kept._kept


async def test_without_a_stream_a_token_is_good_until_its_end(
    autojump_clock: trio.abc.Clock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.unit.test_exchanges.LIFE", 600.0)
    sts = Sts(clock := VirtualClock())
    kept = Exchanges(sts.exchange, revocations=None, clock=clock, nursery=nursery)
    await kept.get("a", "order")
    await trio.sleep(500)
    assert (await kept.get("a", "order")).token == "order-1"


async def test_a_kept_token_of_which_that_cannot_be_known_is_exchanged_anew(
    autojump_clock: trio.abc.Clock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where tokens live for more than a minute."""
    monkeypatch.setattr("tests.unit.test_exchanges.LIFE", 600.0)
    sts, revocations = Sts(clock := VirtualClock()), Revocations("sts")
    kept = Exchanges(sts.exchange, revocations=revocations, clock=clock, nursery=nursery)
    await kept.get("a", "order")
    await trio.sleep(58)
    assert (await kept.get("a", "order")).token == "order-1"
    await trio.sleep(2)
    assert (await kept.get("a", "order")).token == "order-2"


class AtOnce:
    """A token service, a provider and what is connected to it, and a clock that is 20 s ahead of theirs."""

    def __init__(self, token: str) -> None:
        self.token = token

    async def exchange(self, _token: str, _audience: str) -> IssuedToken:
        return IssuedToken(self.token, 60, frozenset())

    async def connected(self) -> Any:
        async def exchange(_token: str, _audience: str) -> SimpleNamespace:
            return SimpleNamespace(access_token=self.token, expires_in=60)

        return SimpleNamespace(exchange=exchange)

    def now(self) -> float:
        return ASKED_AT


@pytest.mark.parametrize("who", ["clients", "browsers"])
@pytest.mark.parametrize("issued_at", [NOW, None])
async def test_what_is_exchanged_was_issued_when_it_says_itself(who: str, issued_at: float | None) -> None:
    """As at the services, where it is compared with times of the issuer."""
    payload = {name: value for name, value in claims(sid="s").items() if name != "iat"}
    if issued_at is not None:
        payload["iat"] = issued_at
    fake: Any = AtOnce(sign(header(), payload))
    exchange = main._exchange(fake, fake, 5) if who == "clients" else browsers._exchange(fake, fake)
    got = await exchange("a", "order")
    assert (got.issued_at, got.expires_at) == (issued_at or 0, ASKED_AT + 60)
    assert "s" in got.ids
