"""Forged forms, planted cookies and stolen requests. Each attack has a control: what an honest browser does works."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from ordermgmt.sts.contract import BROWSER_COOKIE, SESSION_COOKIE
from ordermgmt.sts.main import open_accounts
from tests.browser import Browser, Headers
from tests.contract.login_setup import CALLBACK, GOODBYE, Portal, open_portal

FOREIGN: list[tuple[str, Headers]] = [
    ("another site's form", [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")]),
    ("an old browser on another site", [("origin", "https://evil.example")]),
    ("a sister site", [("origin", "https://localhost:1"), ("sec-fetch-site", "same-site")]),
    ("a sandboxed frame", [("origin", "null"), ("sec-fetch-site", "cross-site")]),
    ("a sandboxed frame in an old browser", [("origin", "null")]),
    ("only one header", [("sec-fetch-site", "cross-site")]),
    ("typed into the address bar", [("sec-fetch-site", "none")]),
]


@pytest.fixture
async def portal(tmp_path: Path) -> AsyncIterator[Portal]:
    async with open_portal(tmp_path) as opened:
        yield opened


async def test_a_form_is_taken_from_our_own_pages_only(portal: Portal, autojump_clock: MockClock) -> None:
    browser = portal.browser()
    login = await browser.get(portal.request())
    right: Mapping[str, Any] = {"username": "alice", "password": portal.password("alice")}
    for name, headers in FOREIGN:
        refused = await browser.submit(login, sent=headers, **right)
        assert refused.answer.status == 400, name
        assert "set-cookie" not in refused.answer.headers, name
    consent = await browser.submit(login, sent=[("origin", browser.origin), ("sec-fetch-site", "same-origin")], **right)
    for name, headers in FOREIGN:
        assert (await browser.submit(consent, sent=headers, decision="allow")).answer.status == 400, name
        assert (await browser.submit(consent, sent=headers, decision="deny")).answer.status == 400, name
    done = await browser.submit(consent, sent=[], decision="allow")  # a client that is no browser sends neither
    assert done.url.startswith(f"{CALLBACK}?code=")
    asked = await browser.get("/logout")
    for name, headers in FOREIGN:
        assert (await browser.submit(asked, sent=headers)).answer.status == 400, name
    assert (await browser.submit(asked)).page.text("h1") == ["You are signed out"]


async def test_a_form_without_its_own_token_is_refused(portal: Portal, autojump_clock: MockClock) -> None:
    """The token of another browser, of another request, of another form, of another session, or none."""
    browser, other = portal.browser(), portal.browser()
    login = await browser.get(portal.request())
    right: Mapping[str, Any] = {"username": "alice", "password": portal.password("alice")}
    others = (await other.get(portal.request())).page.fields["token"]
    second = (await browser.get(portal.request())).page.fields["token"]
    for token in (others, second, "", "x", "é"):
        assert (await browser.submit(login, **right, token=token)).answer.status == 400
    consent = await browser.submit(login, **right)
    before = consent.page.fields["token"]
    await trio.sleep(2)
    assert (await browser.submit(consent, decision="allow", token=login.page.fields["token"])).answer.status == 400
    again = await portal.log_in(
        browser, "bob", prompt="login"
    )  # the session of alice is over, and with it what she was shown
    assert again.page.fields["token"] != before
    assert (await browser.submit(consent, decision="allow")).answer.status == 400
    assert (await browser.submit(again, decision="allow")).url.startswith(f"{CALLBACK}?code=")


async def test_a_form_without_the_browsers_cookie_is_refused(portal: Portal, autojump_clock: MockClock) -> None:
    browser = portal.browser()
    login = await browser.get(portal.request())
    kept = browser.cookies.pop(BROWSER_COOKIE)
    right: Mapping[str, Any] = {"username": "alice", "password": portal.password("alice")}
    assert (await browser.submit(login, **right)).answer.status == 400
    browser.cookies[BROWSER_COOKIE] = "planted"
    assert (await browser.submit(login, **right)).answer.status == 400
    browser.cookies[BROWSER_COOKIE] = kept
    assert (await browser.submit(login, **right)).page.text("h1") == ["Allow access?"]


async def test_a_request_belongs_to_the_browser_that_was_shown_it(portal: Portal, autojump_clock: MockClock) -> None:
    """An attacker who learns its id can neither see it, nor log in for it, nor consent to it, nor end it."""
    victim, attacker = portal.browser(), portal.browser()
    login = await victim.get(portal.request())
    await portal.log_in(attacker, "bob")
    for target in (login.url, login.url.replace("/login", "/consent")):
        assert (await attacker.get(target)).answer.status == 404
    own = await attacker.get(portal.request())
    for path in ("/login", "/consent"):
        form = {"token": own.page.fields["token"], "username": "bob", "password": "x", "decision": "deny"}
        assert (await attacker.post(login.url.replace("/login", path), form, [])).answer.status in {400, 404}
    done = await victim.submit(
        await victim.submit(login, username="alice", password=portal.password("alice")), decision="allow"
    )
    assert done.url.startswith(f"{CALLBACK}?code=")


async def test_no_cookie_from_before_a_login_is_worth_anything_after(portal: Portal, autojump_clock: MockClock) -> None:
    """Fixation: an attacker plants cookies that it knows, and waits for a user to log in with them."""
    attacker, victim = portal.browser(), portal.browser()
    await portal.tokens(attacker, "bob")
    await attacker.get("/logout")
    planted = dict(attacker.cookies) | {SESSION_COOKIE: "s" * 43}
    victim.cookies = dict(planted)
    await portal.tokens(victim)
    assert victim.cookies.keys() == {SESSION_COOKIE, BROWSER_COOKIE}
    for name, value in planted.items():
        assert victim.cookies[name] != value
    attacker.cookies = dict(planted)
    assert (await attacker.get(portal.request())).page.text("h1") == ["Sign in"]
    assert (await victim.get(portal.request())).url.startswith(f"{CALLBACK}?code=")


async def test_each_login_is_a_new_session_and_ends_that_of_another_user(
    portal: Portal, autojump_clock: MockClock
) -> None:
    browser = portal.browser()
    tokens = await portal.tokens(browser)
    before = browser.cookies[SESSION_COOKIE]
    await trio.sleep(2)
    await portal.log_in(browser, prompt="login")
    renewed = browser.cookies[SESSION_COOKIE]
    assert renewed != before
    assert await portal.is_alive(tokens["access_token"])  # the same user goes on
    thief = portal.browser()
    thief.cookies = {SESSION_COOKIE: before}
    assert (await thief.get(portal.request())).page.text("h1") == ["Sign in"]
    await trio.sleep(2)
    await portal.log_in(browser, "bob", prompt="login")
    assert not await portal.is_alive(tokens["access_token"])


async def test_what_is_sent_twice_is_refused(portal: Portal, autojump_clock: MockClock) -> None:
    browser = portal.browser()
    login = await browser.get(portal.request())
    answer = await browser.send(
        "POST",
        login.page.action,
        [
            ("content-type", "application/x-www-form-urlencoded"),
            ("cookie", f"{BROWSER_COOKIE}={browser.cookies[BROWSER_COOKIE]}"),
        ],
        f"token={login.page.fields['token']}&username=alice&username=bob&password=x".encode(),
    )
    assert answer.status == 400
    assert b"A field is repeated." in answer.content


async def test_a_page_of_a_stranger_cannot_log_a_user_out(portal: Portal, autojump_clock: MockClock) -> None:
    browser = portal.browser()
    tokens = await portal.tokens(browser)
    for form in ({}, {"client_id": "spa", "post_logout_redirect_uri": GOODBYE}, {"token": "x"}):
        headers = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")]
        left = await browser.post("/logout", form, headers)
        assert left.page.text("h1") in (["Sign out?"], ["That did not work"])
    assert await portal.is_alive(tokens["access_token"])


async def test_who_is_disabled_or_reset_is_out_at_once_and_stays_out(portal: Portal, autojump_clock: MockClock) -> None:
    """The command line writes through these verbs while the service runs."""
    browsers: dict[str, Browser] = {name: portal.browser() for name in ("alice", "bob")}
    tokens = {name: await portal.tokens(browser, name) for name, browser in browsers.items()}
    async with open_accounts(portal.system.location("sts"), portal.system.runtime) as accounts:
        await accounts.disable_user("alice")
        await accounts.reset_user("bob", "a brand new password")
        for name, browser in browsers.items():
            assert not await portal.is_alive(tokens[name]["access_token"])
            login = await browser.get(portal.request())
            assert login.page.text("h1") == ["Sign in"]
            refused = await browser.submit(login, username=name, password=portal.password(name))
            assert refused.answer.status == 422
        login = await browsers["bob"].get(portal.request())
        renewed = await browsers["bob"].submit(login, username="bob", password="a brand new password")
        assert renewed.url.startswith(f"{CALLBACK}?code=")  # the consent is remembered
        await accounts.enable_user("alice")
        assert not await portal.is_alive(tokens["alice"]["access_token"])
        assert (await portal.log_in(browsers["alice"])).url.startswith(f"{CALLBACK}?code=")
        bobs = await portal.redeem(renewed)
        await accounts.disable_client("spa")
        await accounts.enable_client("spa")
        assert not await portal.is_alive(bobs["access_token"])
