"""Each way in which something ends ends what came of it, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import trio

from ordermgmt.clock import SystemClock
from ordermgmt.security.passwords import Passwords
from ordermgmt.security.revocations import RevocationLine
from ordermgmt.storage import Database
from ordermgmt.sts import revocation_store, store
from ordermgmt.sts.accounts import Accounts
from ordermgmt.sts.contract import REVOCATIONS_PATH
from ordermgmt.sts.revocations import RevocationFeed
from ordermgmt.threads import InlineThreads
from tests.unit.authorization_setup import Browser, introspect, open_authorization, redeem, refresh, revoke
from tests.unit.sts_setup import RULES, exchange_of, service

GATEWAY = service("gateway")


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with open_authorization(tmp_path) as opened:
        yield opened


async def jwt(browser: Browser, token: str) -> str:
    answer = await browser.sts.post(exchange_of(token), peer=GATEWAY)
    assert answer.status == 200, answer.body
    return str(answer.body["access_token"])


def ids(browser: Browser, token: str) -> frozenset[str]:
    principal = browser.sts.read(token, "order")
    return frozenset(filter(None, (principal.jti, principal.sid, *principal.revocable_by)))


async def revoked(database: Database) -> frozenset[str]:
    page = await database.read(lambda transaction: revocation_store.load_page(transaction, "", 0, 90))
    assert len(page.revoked) == page.sequence
    return frozenset(page.revoked)


async def own_token(browser: Browser, client: str = "web") -> str:
    form = {"grant_type": "client_credentials", "scope": "add_order"}
    answer = await browser.sts.post(form, headers=browser.sts.basic(client, f"secret-of-{client}"))
    return str(answer.body["access_token"])


def accounts(browser: Browser) -> Accounts:
    entropy = Random(3).randbytes  # noqa: S311 - a test repeats
    return Accounts(browser.sts.database, Passwords(InlineThreads(), entropy), entropy, browser.sts.clock)


class World:
    """Tokens of all kinds, each with the JWT that came of it."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.tokens: dict[str, Any] = {}
        self.jwts: dict[str, str] = {}

    async def fill(self) -> None:
        browser = self.browser
        self.code = await browser.code()
        first = (await redeem(browser.sts, self.code)).body
        browser.sts.clock.time += 1
        refreshed = (await refresh(browser.sts, first["refresh_token"])).body
        self.refresh_tokens = first["refresh_token"], refreshed["refresh_token"]
        sibling = await browser.tokens()
        self.tokens = {
            "first": first["access_token"],
            "refreshed": refreshed["access_token"],
            "sibling": sibling["access_token"],
            "own": await own_token(browser),
            "other own": await own_token(browser),
            "another client's": await own_token(browser, "admin-app"),
        }
        cookie, browser.cookie = browser.cookie, ""
        await browser.login("bob")
        self.tokens["bob's"] = (await browser.tokens())["access_token"]
        browser.cookie = cookie
        self.jwts = {name: await jwt(browser, token) for name, token in self.tokens.items()}

    async def over(self) -> set[str]:
        """Return whose JWTs are revoked. The token service must be of the same mind, and exchange no such token."""
        found = await revoked(self.browser.sts.database)
        over = {name for name, token in self.jwts.items() if not found.isdisjoint(ids(self.browser, token))}
        for name, token in self.tokens.items():
            assert ((await self.browser.sts.post(exchange_of(token), peer=GATEWAY)).status == 200) == (name not in over)
        for name, token in self.jwts.items():
            seen = await introspect(self.browser.sts, token, "web")
            assert not seen["active"] or name not in over
        return over


End = Callable[[World], Awaitable[Any]]
OF_ALICE = {"first", "refreshed", "sibling"}
OF_WEB = {*OF_ALICE, "bob's", "own", "other own"}


async def _late_reuse(world: World) -> None:
    world.browser.sts.clock.time += RULES.refresh_token_grace + 1
    await refresh(world.browser.sts, world.refresh_tokens[0])


ENDINGS: dict[str, tuple[End, set[str]]] = {
    "an access token": (lambda world: revoke(world.browser.sts, world.tokens["first"]), {"first"}),
    "a client's own": (lambda world: revoke(world.browser.sts, world.tokens["own"]), {"own"}),
    "a refresh token": (lambda world: revoke(world.browser.sts, world.refresh_tokens[1]), {"first", "refreshed"}),
    "an old refresh token": (lambda world: revoke(world.browser.sts, world.refresh_tokens[0]), {"first", "refreshed"}),
    "the code again": (lambda world: redeem(world.browser.sts, world.code), {"first", "refreshed"}),
    "a refresh token again": (_late_reuse, {"first", "refreshed"}),
    "an answer lost": (lambda world: refresh(world.browser.sts, world.refresh_tokens[0]), {"refreshed"}),
    "logout": (lambda world: world.browser.logout(), OF_ALICE),
    "another user in the browser": (lambda world: world.browser.login("bob"), OF_ALICE),
    "users disable": (lambda world: accounts(world.browser).disable_user("alice"), OF_ALICE),
    "users reset": (lambda world: accounts(world.browser).reset_user("alice", "long enough for one"), OF_ALICE),
    "clients disable": (lambda world: accounts(world.browser).disable_client("web"), OF_WEB),
    "clients reset": (lambda world: accounts(world.browser).reset_client("web"), OF_WEB),
    "demo removed": (
        lambda world: world.browser.sts.database.write(store.remove_demo),
        {*OF_WEB, "another client's"},
    ),
    "nothing": (lambda world: introspect(world.browser.sts, world.tokens["first"]), set()),
}


@pytest.mark.parametrize("name", ENDINGS)
async def test_an_end_is_the_end_of_what_came_of_it(browser: Browser, name: str) -> None:
    end, over = ENDINGS[name]
    world = World(browser)
    await world.fill()
    await end(world)
    if name.startswith(("clients", "demo")):  # nobody is left who could ask
        found = await revoked(browser.sts.database)
        assert {name for name, token in world.jwts.items() if not found.isdisjoint(ids(browser, token))} == over
    else:
        assert await world.over() == over


async def test_what_comes_after_an_end_is_good(browser: Browser) -> None:
    """The same user, browser and client: ids of before must not meet them."""
    world = World(browser)
    await world.fill()
    await accounts(browser).reset_user("alice", "long enough for one")
    await accounts(browser).disable_client("web")
    await accounts(browser).enable_client("web")
    browser.cookie = ""
    fresh = await jwt(browser, (await browser.tokens())["access_token"]), await jwt(browser, await own_token(browser))
    found = await revoked(browser.sts.database)
    for token in fresh:
        assert found.isdisjoint(ids(browser, token))


async def test_a_token_that_was_being_issued_while_all_were_ended_is_good_for_nothing(browser: Browser) -> None:
    """It was decided before, and is saved after."""
    token = await own_token(browser)
    await browser.sts.database.write(lambda transaction: transaction.execute("UPDATE clients SET generation = 1"))
    assert (await browser.sts.post(exchange_of(token), peer=GATEWAY)).body["error"] == "invalid_request"


async def test_a_jwt_of_an_ended_family_is_exchanged_no_more(browser: Browser) -> None:
    tokens = await browser.tokens()
    for_order = await jwt(browser, tokens["access_token"])
    assert (await introspect(browser.sts, for_order, "web"))["active"] is False  # it is the gateway's and order's
    await revoke(browser.sts, tokens["refresh_token"])
    found = browser.sts.read(for_order, "order")
    assert await browser.sts.database.read(
        lambda transaction: revocation_store.is_revoked(transaction, found.revocable_by, found.issued_at)
    )


async def test_ending_twice_revokes_once(browser: Browser) -> None:
    tokens = await browser.tokens()
    for _ in range(3):
        await revoke(browser.sts, tokens["access_token"])
        await revoke(browser.sts, tokens["refresh_token"])
        await refresh(browser.sts, tokens["refresh_token"])
    assert len(await revoked(browser.sts.database)) == 2


async def test_a_restore_revokes_all_and_begins_another_history(browser: Browser) -> None:
    database = browser.sts.database
    await database.write(lambda transaction: revocation_store.start_epoch(transaction, "before"))
    await database.write(lambda transaction: revocation_store.start_epoch(transaction, "not this"))
    assert (await database.read(revocation_store.load_log)).epoch == "before"
    await database.write(store.end_all_sessions)
    log = await database.read(revocation_store.load_log)
    assert log.epoch == ""
    assert log.not_before > SystemClock().now() - 5


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 19, "%D9%A3", ""])
async def test_a_number_that_is_none_is_refused(browser: Browser, after: str) -> None:
    response = await browser.sts.app.test_client().get(
        f"{REVOCATIONS_PATH}?after={after}", scope_base={"state": {"peer": service("order")}}
    )
    assert response.status_code == 400


@pytest.mark.parametrize("peer", [None, service("inventory"), service("operator")])
async def test_only_services_in_the_table_may_follow(browser: Browser, peer: Any) -> None:
    response = await browser.sts.app.test_client().get(REVOCATIONS_PATH, scope_base={"state": {"peer": peer}})
    assert (response.status_code, await response.get_data(as_text=False)) == (403, b"")


async def test_a_stream_says_all_there_is_then_news_then_that_there_are_none(
    browser: Browser, autojump_clock: trio.abc.Clock
) -> None:
    database, drain = browser.sts.database, trio.Event()
    feed = RevocationFeed(database, 60, drain)
    seen: list[tuple[float, RevocationLine]] = []
    start = trio.current_time()

    async def read() -> None:
        async for data in feed.lines("", 0, start + 100):
            assert data.endswith(b"\n")
            seen.append((trio.current_time() - start, msgspec.json.decode(data, type=RevocationLine)))

    await database.write(lambda transaction: revocation_store.revoke(transaction, map(str, range(1100))))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.sleep(5.1)
        await database.write(lambda transaction: revocation_store.revoke(transaction, ["x"]))
        await trio.sleep(3)
        drain.set()
    assert [(line.sequence, len(line.revoked), line.more) for _, line in seen[:3]] == [
        (500, 500, True),
        (1000, 500, True),
        (1100, 100, False),
    ]
    assert {one for _, line in seen[:3] for one in line.revoked} == set(map(str, range(1100)))
    assert [(time, line.sequence, line.revoked) for time, line in seen[3:]] == [
        (2, 1100, ()),
        (4, 1100, ()),
        (5.25, 1101, ("x",)),
        (7.25, 1101, ()),
    ]
    assert {line.keep for _, line in seen} == {90}
    assert trio.current_time() - start == pytest.approx(8.1)
