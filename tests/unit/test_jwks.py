"""The keys of an issuer that comes, goes, rotates and misbehaves, in virtual time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import trio
from joserfc import jwk
from trio.testing import MockClock

from ordermgmt.errors import Unauthenticated, Unavailable
from ordermgmt.net import Address
from ordermgmt.net.outbound import open_client
from ordermgmt.security import jwks
from ordermgmt.security.jwks import JwksClient, JwksUnavailable
from ordermgmt.testing.memory import MemoryNetwork

KEY = jwk.ECKey.generate_key("P-256").as_dict(private=False)
OTHER = jwk.ECKey.generate_key("P-256").as_dict(private=False)


def document(*kids: str, key: Any = KEY) -> bytes:
    return json.dumps({"keys": [dict(key) | {"kid": kid} for kid in kids]}).encode()


class Issuer:
    """Answers with `answer`, after `delay` seconds; None: it is away."""

    def __init__(self, answer: bytes | None, delay: float = 0.0) -> None:
        self.answer = answer
        self.delay = delay
        self.fetches: list[float] = []

    async def fetch(self) -> bytes:
        self.fetches.append(trio.current_time())
        await trio.sleep(self.delay)
        if self.answer is None:
            raise JwksUnavailable("away")
        return self.answer

    def client(self) -> JwksClient:
        return JwksClient("https://sts.example", self.fetch, ["ES256"])


async def settle(seconds: float = 0.0) -> None:
    await trio.sleep(seconds)
    await trio.testing.wait_all_tasks_blocked()


async def test_a_known_key_is_found_without_asking(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    issuer = Issuer(document("a"))
    client = issuer.client()
    await nursery.start(client.run)
    for _ in range(100):
        assert (await client.find("a")).kid == "a"
    assert len(issuer.fetches) == 1


async def test_a_request_that_comes_before_the_first_answer_waits_for_it(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    client = Issuer(document("a"), delay=2).client()
    await nursery.start(client.run)
    assert client.current("a") is None
    assert (await client.find("a")).kid == "a"
    assert trio.current_time() == pytest.approx(2, abs=0.01)


async def test_an_issuer_that_is_away_at_the_start_is_tried_again_until_it_answers(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    issuer = Issuer(None)
    client = issuer.client()
    await nursery.start(client.run)
    await settle()
    with pytest.raises(Unavailable) as caught:
        await client.find("a")
    assert caught.value.retry_after == 5
    await settle(100)
    pauses = [later - earlier for earlier, later in zip(issuer.fetches, issuer.fetches[1:], strict=False)]
    assert pauses == pytest.approx([1, 2, 4, 8, 16, 30, 30])
    issuer.answer = document("a")
    await settle(jwks.LAST_RETRY)
    assert client.current("a") is not None


async def test_keys_are_fetched_again_ahead_of_need(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    issuer = Issuer(document("a"))
    client = issuer.client()
    await nursery.start(client.run)
    await settle(1)
    issuer.answer = document("b")
    await settle(jwks.REFRESH)
    assert client.current("a") is None
    assert issuer.fetches == pytest.approx([0, 300])
    assert client.current("b") is not None


async def test_keys_are_used_for_ten_minutes_while_the_issuer_is_away(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    issuer = Issuer(document("a"))
    client = issuer.client()
    await nursery.start(client.run)
    await settle(1)
    issuer.answer = None
    await settle(jwks.REFRESH + jwks.STALE - 2)
    assert (await client.find("a")).kid == "a"
    await settle(2)
    assert client.current("a") is None
    with pytest.raises(Unavailable):
        await client.find("a")
    issuer.answer = document("a")
    await settle(jwks.LAST_RETRY)
    assert (await client.find("a")).kid == "a"


async def test_a_rotated_key_is_found_by_the_first_token_that_names_it(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    issuer = Issuer(document("old"))
    client = issuer.client()
    await nursery.start(client.run)
    await settle(60)
    issuer.answer = document("old", "new")
    assert (await client.find("new")).kid == "new"
    assert issuer.fetches == pytest.approx([0, 60])


async def test_a_key_that_changed_under_its_kid_is_another_key(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    issuer = Issuer(document("a"))
    client = issuer.client()
    await nursery.start(client.run)
    before = await client.find("a")
    await settle(1)
    issuer.answer = document("a")
    await settle(jwks.REFRESH)
    assert client.current("a") == before
    issuer.answer = document("a", key=OTHER)
    await settle(jwks.REFRESH)
    assert client.current("a") not in (None, before)


async def test_a_flood_of_unknown_kids_makes_one_fetch_per_cool_down_and_hides_no_new_key(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    issuer = Issuer(document("a"))
    client = issuer.client()
    await nursery.start(client.run)
    await settle(10)
    refused = 0

    async def flood() -> None:
        nonlocal refused
        for number in range(1000):
            with pytest.raises(Unauthenticated, match="unknown-key"):
                await client.find(f"random-{number}")
            refused += 1
            await trio.sleep(0.02)

    nursery.start_soon(flood)
    await settle(7.01)
    issuer.answer = document("a", "new")
    published = trio.current_time()
    while True:
        try:
            await client.find("new")
        except Unauthenticated:
            await trio.sleep(0.1)
        else:
            break
    assert trio.current_time() - published <= jwks.COOL_DOWN
    await settle(30)
    assert refused == 1000
    pauses = [later - earlier for earlier, later in zip(issuer.fetches, issuer.fetches[1:], strict=False)]
    assert min(pauses) >= jwks.COOL_DOWN
    assert len(issuer.fetches) <= 2 + 20 / jwks.COOL_DOWN


async def test_many_waiters_share_one_fetch_and_the_first_one_s_end_is_nobody_else_s(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    issuer = Issuer(document("a"))
    client = issuer.client()
    await nursery.start(client.run)
    await settle(10)
    issuer.answer, issuer.delay = document("a", "new"), 3
    first = trio.CancelScope()
    found: list[str] = []

    async def ask(scope: trio.CancelScope) -> None:
        with scope:
            found.append((await client.find("new")).kid)

    nursery.start_soon(ask, first)
    await settle()
    for _ in range(50):
        nursery.start_soon(ask, trio.CancelScope())
    await settle()
    first.cancel()
    await settle(4)
    assert first.cancelled_caught
    assert found == ["new"] * 50
    assert issuer.fetches == pytest.approx([0, 10])


BAD: list[Callable[[Issuer], None]] = [
    lambda issuer: setattr(issuer, "answer", b"<html>"),
    lambda issuer: setattr(issuer, "answer", b'{"keys": 7}'),
    lambda issuer: setattr(issuer, "answer", b'{"keys":' + b"[" * 100_000),
    lambda issuer: setattr(issuer, "answer", document("b") + b" " * (256 * 1024)),
    lambda issuer: setattr(issuer, "answer", document(*map(str, range(65)))),
    lambda issuer: setattr(issuer, "answer", None),
    lambda issuer: setattr(issuer, "delay", 1e9),
]


@pytest.mark.parametrize("spoil", BAD, ids=["html", "shape", "deep", "huge", "many", "away", "slow"])
async def test_a_bad_answer_keeps_the_last_good_keys(
    nursery: trio.Nursery, autojump_clock: MockClock, spoil: Callable[[Issuer], None]
) -> None:
    issuer = Issuer(document("a"))
    client = issuer.client()
    await nursery.start(client.run)
    await settle(10)
    spoil(issuer)
    began = trio.current_time()
    with pytest.raises(Unauthenticated, match="unknown-key"):
        await client.find("b")
    assert trio.current_time() - began <= jwks.WAIT
    assert (await client.find("a")).kid == "a"
    issuer.answer, issuer.delay = document("a", "b"), 0.0
    await settle(jwks.LAST_RETRY)
    assert client.current("b") is not None


async def test_an_issuer_that_withdraws_every_key_is_obeyed(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    issuer = Issuer(document("a"))
    client = issuer.client()
    await nursery.start(client.run)
    await settle(10)
    issuer.answer = document()
    await settle(jwks.REFRESH)
    with pytest.raises(Unauthenticated, match="unknown-key"):
        await client.find("a")


async def test_nobody_waits_for_ever_for_a_client_that_does_not_run(autojump_clock: MockClock) -> None:
    with pytest.raises(Unavailable):
        await Issuer(document("a")).client().find("a")
    assert trio.current_time() == pytest.approx(jwks.WAIT)


async def test_an_issuer_that_cannot_be_reached_is_away(autojump_clock: MockClock) -> None:
    async with open_client(MemoryNetwork(), [Address("127.0.0.1", 1)], tls=None) as client:
        with pytest.raises(JwksUnavailable):
            await jwks.fetch_over(client, "/oauth2/jwks")()
