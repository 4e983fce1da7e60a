"""Many requests with the same code or token at once, over one database: one wins, whatever the others do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from ordermgmt.errors import NotFound
from ordermgmt.storage import Location
from ordermgmt.threads import InlineThreads, Threads, WorkerThreads
from tests.unit.authorization_setup import (
    Browser,
    introspect,
    is_alive,
    open_authorization,
    redeem,
    refresh,
    revoke,
)
from tests.unit.sts_setup import OWN, RULES, Answer, exchange_of, service

MANY = 50


def threads_of(location: Location) -> Threads:
    """A PostgreSQL server has many connections at work at once, and they need threads."""
    return InlineThreads() if isinstance(location, Path) else WorkerThreads()


@pytest.fixture
async def browser(location: Location) -> AsyncIterator[Browser]:
    async with open_authorization(location, threads=threads_of(location)) as opened:
        yield opened


async def at_once(ask: Callable[[], Awaitable[Answer]], count: int = MANY) -> list[Answer]:
    answers: list[Answer] = []

    async def run() -> None:
        answers.append(await ask())

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(run)
    return answers


def won(answers: list[Answer]) -> list[Answer]:
    """Return those with tokens; each of the others was refused, and not because something broke."""
    assert all(answer.status == 200 or answer.body["error"] == "invalid_grant" for answer in answers)
    return [answer for answer in answers if answer.status == 200]


async def test_a_code_is_used_once_and_the_others_take_it_back(browser: Browser) -> None:
    code = await browser.code()
    (winner,) = won(await at_once(lambda: redeem(browser.sts, code)))
    assert not await is_alive(browser.sts, winner.body["access_token"])
    assert (await refresh(browser.sts, winner.body["refresh_token"])).body["error"] == "invalid_grant"
    rows = await browser.sts.database.read(
        lambda transaction: transaction.execute("SELECT count(*), count(ended_at) FROM token_families").rows
    )
    assert rows == [(1, 1)]


async def test_without_grace_one_of_many_wins_and_the_others_end_its_family(location: Location) -> None:
    rules = replace(RULES, refresh_token_grace=0)
    async with open_authorization(location, rules=rules, threads=threads_of(location)) as browser:
        tokens = await browser.tokens()
        browser.sts.clock.time += 0.5
        (winner,) = won(await at_once(lambda: refresh(browser.sts, tokens["refresh_token"])))
        assert not await is_alive(browser.sts, winner.body["access_token"])
        assert (await refresh(browser.sts, winner.body["refresh_token"])).body["error"] == "invalid_grant"


async def test_without_grace_a_refresh_token_is_used_once_and_the_others_end_its_family(location: Location) -> None:
    rules = replace(RULES, refresh_token_grace=0)
    async with open_authorization(location, rules=rules, threads=threads_of(location)) as browser:
        tokens = await browser.tokens()
        second = (await refresh(browser.sts, tokens["refresh_token"])).body
        browser.sts.clock.time += 1
        assert won(await at_once(lambda: refresh(browser.sts, tokens["refresh_token"]))) == []
        assert not await is_alive(browser.sts, second["access_token"])
        assert (await refresh(browser.sts, second["refresh_token"])).body["error"] == "invalid_grant"


async def test_within_the_grace_one_of_many_successors_lives(browser: Browser) -> None:
    tokens = await browser.tokens()
    browser.sts.clock.time += 1
    winners = won(await at_once(lambda: refresh(browser.sts, tokens["refresh_token"])))
    assert len(winners) == MANY
    assert len({winner.body["refresh_token"] for winner in winners}) == MANY
    alive = [winner for winner in winners if (await introspect(browser.sts, winner.body["refresh_token"]))["active"]]
    assert len(alive) == 1
    opened = [winner for winner in winners if await is_alive(browser.sts, winner.body["access_token"])]
    assert opened == alive
    rows = await browser.sts.database.read(
        lambda transaction: transaction.execute("SELECT count(*) FROM token_families WHERE ended_at IS NULL").rows
    )
    assert rows == [(1,)]


async def test_client_credentials_and_exchanges_do_not_disturb_each_other(browser: Browser) -> None:
    answers = await at_once(lambda: browser.sts.post(OWN, headers=browser.sts.basic("alice-app")))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body["access_token"] for answer in answers}) == MANY
    form = exchange_of(answers[0].body["access_token"])
    exchanged = await at_once(lambda: browser.sts.post(form, peer=service("gateway")))
    assert len({answer.body["access_token"] for answer in exchanged}) == MANY


async def test_one_of_many_continuations_gets_the_code(browser: Browser) -> None:
    await browser.login()
    page = await browser.authorize()
    codes: list[str] = []
    gone = 0
    session = await browser.sts.sessions.find_session(browser.cookie)
    assert session is not None
    await browser.sts.authorizations.grant_consent(page.parameters["request"], session)

    async def go_on() -> None:
        nonlocal gone
        try:
            codes.append((await browser.go_on(page)).parameters["code"])
        except NotFound:
            gone += 1

    async with trio.open_nursery() as nursery:
        for _ in range(MANY):
            nursery.start_soon(go_on)
    assert (len(codes), gone) == (1, MANY - 1)


@pytest.mark.parametrize("end", ["logout", "revocation"])
async def test_nothing_outlives_an_end_that_comes_in_between(browser: Browser, end: str) -> None:
    """Refreshes and uses of a code on one side, a logout or a revocation on the other."""
    tokens, code = await browser.tokens(), await browser.code()
    answers: list[Answer] = []

    async def run(ask: Callable[[], Awaitable[Answer]]) -> None:
        answers.append(await ask())

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(run, lambda: refresh(browser.sts, tokens["refresh_token"]))
            if number == 5 and end == "logout":
                nursery.start_soon(browser.logout)
                nursery.start_soon(run, lambda: redeem(browser.sts, code))
            elif number == 5:
                nursery.start_soon(run, lambda: revoke(browser.sts, tokens["refresh_token"]))
    given = [answer.body for answer in answers if answer.status == 200 and answer.body is not None]
    for body in [tokens, *given]:
        assert not await is_alive(browser.sts, body["access_token"])
        assert (await refresh(browser.sts, body["refresh_token"])).body["error"] == "invalid_grant"
