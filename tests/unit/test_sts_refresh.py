"""Refresh tokens: rotation, what comes back, and how long it all lives (RFC 6749 section 6, RFC 9700 section 4.14)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.sts.domain import Authority
from ordermgmt.sts.family import Family, Presented, judge
from tests.unit.authorization_setup import Browser, is_alive, open_authorization, redemption, refresh
from tests.unit.sts_setup import NOW, ORDERS, RULES, basic

GRACE = RULES.refresh_token_grace


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with open_authorization(tmp_path) as opened:
        yield opened


async def test_a_refresh_gives_new_tokens_and_the_old_one_has_had_its_time(browser: Browser) -> None:
    first = await browser.tokens()
    second = (await refresh(browser.sts, first["refresh_token"])).body
    assert second.keys() == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert second["scope"] == first["scope"]
    assert second["refresh_token"] != first["refresh_token"]
    assert await is_alive(browser.sts, first["access_token"])
    assert await is_alive(browser.sts, second["access_token"])
    third = (await refresh(browser.sts, second["refresh_token"])).body
    assert await is_alive(browser.sts, third["access_token"])


@pytest.mark.parametrize(
    ("change", "who", "error"),
    [
        ({"refresh_token": ""}, "web", "invalid_request"),
        ({"refresh_token": "omr_" + "x" * 43}, "web", "invalid_grant"),
        ({"refresh_token": "rubbish\x00"}, "web", "invalid_grant"),
        ({}, "other", "invalid_grant"),
        ({}, "", "invalid_client"),
        ({"client_id": "spa"}, "", "invalid_grant"),
        ({"scope": "add_order cancel_order"}, "web", "invalid_scope"),
        ({"scope": "a\tb"}, "web", "invalid_scope"),
        ({"resource": ORDERS}, "web", "invalid_target"),
    ],
)
async def test_refusals_leave_the_family_as_it_is(
    browser: Browser, change: dict[str, str], who: str, error: str
) -> None:
    """RFC 6749 sections 5.2 and 6, RFC 8707 section 2.2."""
    token = (await browser.tokens())["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": token} | change
    answer = await browser.sts.post(form, headers=[basic(who, f"secret-of-{who}")] if who else [])
    assert answer.body["error"] == error
    assert (await refresh(browser.sts, token)).status == 200


async def test_a_client_without_the_grant_may_not_refresh(browser: Browser) -> None:
    token = (await browser.tokens())["refresh_token"]
    await browser.sts.database.write(
        lambda transaction: transaction.execute("UPDATE clients SET grants = 'authorization_code' WHERE id = 'web'")
    )
    assert (await refresh(browser.sts, token)).body["error"] == "unauthorized_client"


async def test_fewer_scopes_now_are_not_fewer_for_ever(browser: Browser) -> None:
    """RFC 6749 section 6."""
    first = await browser.tokens()
    second = (await refresh(browser.sts, first["refresh_token"], scope="add_order")).body
    assert second["scope"] == "add_order"
    assert (await refresh(browser.sts, second["refresh_token"])).body["scope"] == "add_order openid"


async def test_what_a_user_may_do_no_more_is_gone_with_the_next_refresh(browser: Browser) -> None:
    first = await browser.tokens()
    await browser.sts.database.write(
        lambda transaction: transaction.execute("UPDATE users SET scopes = '' WHERE name = 'alice'")
    )
    assert (await refresh(browser.sts, first["refresh_token"])).body["scope"] == "openid"


async def test_a_lost_answer_may_be_asked_for_again(browser: Browser) -> None:
    token = (await browser.tokens())["refresh_token"]
    browser.sts.clock.time += 5
    lost = (await refresh(browser.sts, token)).body
    browser.sts.clock.time += GRACE
    again = await refresh(browser.sts, token)
    assert again.status == 200
    assert not await is_alive(browser.sts, lost["access_token"])
    assert await is_alive(browser.sts, again.body["access_token"])
    assert (await refresh(browser.sts, again.body["refresh_token"])).status == 200


async def test_the_successor_that_was_lost_is_dead_and_ends_the_family_if_it_shows_up(browser: Browser) -> None:
    token = (await browser.tokens())["refresh_token"]
    lost = (await refresh(browser.sts, token)).body["refresh_token"]
    again = (await refresh(browser.sts, token)).body
    assert (await refresh(browser.sts, lost)).body["error"] == "invalid_grant"
    assert not await is_alive(browser.sts, again["access_token"])
    assert (await refresh(browser.sts, again["refresh_token"])).body["error"] == "invalid_grant"


async def test_after_the_grace_a_rotated_token_ends_its_family(browser: Browser) -> None:
    """RFC 9700 section 4.14.2."""
    first = await browser.tokens()
    second = (await refresh(browser.sts, first["refresh_token"])).body
    browser.sts.clock.time += GRACE + 1
    assert (await refresh(browser.sts, first["refresh_token"])).body["error"] == "invalid_grant"
    assert not await is_alive(browser.sts, first["access_token"])
    assert not await is_alive(browser.sts, second["access_token"])
    assert (await refresh(browser.sts, second["refresh_token"])).body["error"] == "invalid_grant"


async def test_the_refresh_tokens_of_a_public_client_rotate_too(browser: Browser) -> None:
    """RFC 9700 section 2.2.2: they are bound to no certificate, so a copy has to show."""
    changes = {"client_id": "spa", "redirect_uri": "https://spa.test/cb"}
    first = (await browser.sts.post(redemption(await browser.code(**changes), **changes))).body["refresh_token"]
    form = {"grant_type": "refresh_token", "client_id": "spa"}
    second = (await browser.sts.post(form | {"refresh_token": first})).body["refresh_token"]
    assert second != first
    browser.sts.clock.time += GRACE + 1
    for token in (first, second):
        assert (await browser.sts.post(form | {"refresh_token": token})).body["error"] == "invalid_grant"


async def test_the_token_before_the_last_one_ends_its_family_at_once(browser: Browser) -> None:
    first = (await browser.tokens())["refresh_token"]
    second = (await refresh(browser.sts, first)).body["refresh_token"]
    third = (await refresh(browser.sts, second)).body
    assert (await refresh(browser.sts, first)).body["error"] == "invalid_grant"
    assert not await is_alive(browser.sts, third["access_token"])


async def test_one_family_ends_and_the_others_go_on(browser: Browser) -> None:
    first, other = await browser.tokens(), await browser.tokens()
    await refresh(browser.sts, first["refresh_token"])
    browser.sts.clock.time += GRACE + 1
    await refresh(browser.sts, first["refresh_token"])
    assert await is_alive(browser.sts, other["access_token"])
    assert (await refresh(browser.sts, other["refresh_token"])).status == 200


async def test_a_logout_ends_the_families_of_its_session_only(browser: Browser) -> None:
    first = await browser.tokens()
    other = Browser(browser.sts)
    elsewhere = await other.tokens()
    await browser.logout()
    assert not await is_alive(browser.sts, first["access_token"])
    assert (await refresh(browser.sts, first["refresh_token"])).body["error"] == "invalid_grant"
    assert await is_alive(browser.sts, elsewhere["access_token"])
    assert (await refresh(browser.sts, elsewhere["refresh_token"])).status == 200


async def test_a_logout_is_for_good_even_when_its_session_is_forgotten(browser: Browser) -> None:
    tokens = await browser.tokens()
    await browser.logout()
    await browser.sts.database.write(lambda transaction: transaction.execute("DELETE FROM sessions"))
    assert (await refresh(browser.sts, tokens["refresh_token"])).body["error"] == "invalid_grant"
    assert not await is_alive(browser.sts, tokens["access_token"])


async def test_a_family_outlives_its_session_but_not_its_idle_time(browser: Browser) -> None:
    token = (await browser.tokens())["refresh_token"]
    browser.sts.clock.time += RULES.refresh_token_idle_lifetime - 1
    assert await browser.sts.sessions.find_session(browser.cookie) is None
    token = (await refresh(browser.sts, token)).body["refresh_token"]
    browser.sts.clock.time += RULES.refresh_token_idle_lifetime
    assert (await refresh(browser.sts, token)).body["error"] == "invalid_grant"


async def test_no_refresh_carries_a_family_over_its_end(tmp_path: Path) -> None:
    rules = replace(RULES, refresh_token_lifetime=10_000, refresh_token_idle_lifetime=6_000)
    async with open_authorization(tmp_path, rules=rules) as browser:
        token = (await browser.tokens())["refresh_token"]
        browser.sts.clock.time += 5_999
        token = (await refresh(browser.sts, token)).body["refresh_token"]
        browser.sts.clock.time += 3_900
        last = (await refresh(browser.sts, token)).body
        assert last["expires_in"] == 101
        browser.sts.clock.time += 101
        assert (await refresh(browser.sts, last["refresh_token"])).body["error"] == "invalid_grant"
        assert not await is_alive(browser.sts, last["access_token"])


@pytest.mark.parametrize("table", ["clients", "users"])
async def test_a_family_dies_with_its_client_and_its_user(browser: Browser, table: str) -> None:
    token = (await browser.tokens())["refresh_token"]
    await browser.sts.database.write(lambda transaction: transaction.execute(f"UPDATE {table} SET disabled = 1"))  # noqa: S608
    error = (await refresh(browser.sts, token)).body["error"]
    assert error == ("invalid_client" if table == "clients" else "invalid_grant")


FAMILY = Family(
    "f",
    Authority("https://sts.test", "alice", frozenset(), "gateway", NOW + 1000, "web"),
    NOW + 5000,
    current="new",
    previous="old",
    rotated_at=NOW,
)


@given(st.sampled_from(["new", "old", "older"]), st.integers(0, 2_000_000), st.integers(0, 60))
def test_only_the_current_token_and_for_a_moment_the_one_before_are_good(digest: str, later: int, grace: int) -> None:
    """`later` is in milliseconds."""
    assert judge(replace(FAMILY, ended=True), digest, NOW + later / 1000, grace) is Presented.DEAD
    presented = judge(FAMILY, digest, NOW + later / 1000, grace)
    if later >= 1_000_000:
        assert presented is Presented.DEAD
    elif digest == "new":
        assert presented is Presented.CURRENT
    elif digest == "old" and later <= grace * 1000:
        assert presented is Presented.REPEATED
    else:
        assert presented is Presented.REUSED
