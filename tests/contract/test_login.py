"""From a client to its tokens and back, in a browser: what users see, and what their browsers are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from trio.testing import MockClock

from ordermgmt.sts.contract import OIDC_SCOPES, ORDER_SCOPES, SCOPE_WORDS
from tests.browser import Answer, Page, Visit, query_of
from tests.contract.login_setup import CALLBACK, GOODBYE, Portal, open_portal

POLICY = "default-src 'none'; style-src 'self'; form-action 'self'{leads_to}; frame-ancestors 'none'; base-uri 'none'"
HEADERS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@pytest.fixture
async def portal(tmp_path: Path) -> AsyncIterator[Portal]:
    async with open_portal(tmp_path) as opened:
        yield opened


def check_page(answer: Answer, status: int, heading: str, leads_to: str = "") -> Page:
    """Check what every page must be: framed by nobody, without scripts, and readable by everybody."""
    assert answer.status == status, answer
    assert answer.headers["content-security-policy"] == POLICY.format(leads_to=leads_to)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    page = Visit("", answer).page
    (html,) = page.all("html")
    assert html["lang"] == "en"
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))
    (title,) = page.text("title")
    assert title.endswith("- Order management")
    assert page.text("h1") == [heading]
    assert len(page.all("main")) == 1
    levels = [int(element.tag[1]) for element in page.elements if element.tag in {"h1", "h2", "h3", "h4"}]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert not page.all("script") + page.all("style") + page.all("iframe")
    for element in page.elements:
        assert not [name for name in element.attributes if name == "style" or name.startswith("on")]
        assert not str(element.attributes.get("href", "")).startswith("javascript:")
        assert int(str(element.attributes.get("tabindex", 0))) <= 0  # the order on the page is the order of focus
    check_form(page)
    return page


def check_form(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = {label["for"] for label in page.all("label")}
    visible = [given for given in page.all("input") if given["type"] != "hidden"]
    assert {given["id"] for given in visible} == labelled
    assert all(page.text("label"))
    for given in visible:
        if given.get("aria-invalid"):
            assert given["aria-describedby"] in ids
    for link in page.all("a"):
        href = str(link["href"])
        assert not href.startswith("#") or href[1:] in ids
    assert sum("autofocus" in attributes for _, attributes in page.elements) <= 1


async def test_a_user_logs_in_consents_and_comes_back_with_a_code(portal: Portal, autojump_clock: MockClock) -> None:
    browser = portal.browser()
    login = await browser.get(portal.request())
    page = check_page(login.answer, 200, "Sign in", " https://shop.example")
    assert page.text("title") == ["Sign in - Order management"]
    assert page.text("strong") == ['The "<Shop>"']
    assert [given.get("autocomplete") for given in page.all("input")] == [None, "username", "current-password"]
    consent = await browser.submit(login, username="alice", password=portal.password("alice"))
    page = check_page(consent.answer, 200, "Allow access?", " https://shop.example")
    assert page.text("li") == ["create orders", "know who you are"]
    assert page.text("strong") == ['The "<Shop>"', "https://shop.example", "alice"]
    done = await browser.submit(consent, decision="allow")
    assert done.url.startswith(f"{CALLBACK}?")
    answer = parse_qs(query_of(done.url))
    assert (answer["state"], answer["iss"]) == (["s-1"], [browser.origin])
    tokens = await portal.redeem(done)
    assert tokens["scope"] == "add_order openid"
    assert await portal.is_alive(tokens["access_token"])
    assert (await browser.get(portal.request())).url.startswith(f"{CALLBACK}?code=")  # no second login, nor consent


async def test_a_user_may_say_no(portal: Portal, autojump_clock: MockClock) -> None:
    browser = portal.browser()
    done = await browser.submit(await portal.log_in(browser), decision="deny")
    assert parse_qs(query_of(done.url))["error"] == ["access_denied"]
    page = await browser.submit(await browser.get(portal.request()), decision="perhaps")
    check_page(page.answer, 400, "That did not work")


async def test_a_wrong_password_is_told_without_saying_which_part_was_wrong(
    portal: Portal, autojump_clock: MockClock
) -> None:
    browser = portal.browser()
    login = await browser.get(portal.request(login_hint="alice"))
    assert login.page.fields["username"] == "alice"
    texts = []
    for user in ("alice", "nobody", '"><script>alert(1)</script>', "\0"):
        failed = await browser.submit(login, username=user, password="wrong")
        page = check_page(failed.answer, 422, "Sign in", " https://shop.example")
        assert page.text("title") == ["Error: Sign in - Order management"]
        assert page.fields["username"].replace("\ufffd", "\0") == user
        assert page.fields["password"] == ""
        (summary,) = (given for given in page.all("div") if given.get("role") == "alert")
        assert "autofocus" in summary
        assert page.all("a")[0]["href"] == "#password"
        texts.append(page.text("li"))
    assert texts == [["The user name or the password is not right."]] * 4
    failed = await browser.submit(login, username="", password="")
    page = check_page(failed.answer, 422, "Sign in", " https://shop.example")
    assert page.text("li") == ["Enter your user name.", "Enter your password."]


async def test_too_many_wrong_passwords_have_to_wait_and_are_told_how_long(
    portal: Portal, autojump_clock: MockClock
) -> None:
    browser = portal.browser()
    login = await browser.get(portal.request())
    answers = [await browser.submit(login, username="alice", password="wrong") for _ in range(6)]
    assert [visit.answer.status for visit in answers] == [422] * 5 + [429]
    failed = answers[-1]
    page = check_page(failed.answer, 429, "Sign in", " https://shop.example")
    assert failed.answer.headers["retry-after"] == "1"
    assert page.text("li") == ["Too many sign-ins did not work. Try again in 1 second."]
    done = await browser.submit(failed, username="bob", password=portal.password("bob"))
    check_page(done.answer, 200, "Allow access?", " https://shop.example")  # others are not held up


async def test_a_link_that_is_over_or_makes_no_sense_says_so(portal: Portal, autojump_clock: MockClock) -> None:
    browser = portal.browser()
    login = await browser.get(portal.request())
    done = await browser.submit(
        await browser.submit(login, username="alice", password=portal.password("alice")), decision="allow"
    )
    assert done.url.startswith(CALLBACK)
    consent = login.url.replace("login", "consent")
    for target in (login.url, consent, "/login", "/login?request=x", "/login?request=%00"):
        check_page((await browser.get(target)).answer, 404, "This sign-in is over")
    wrong = await browser.get("/oauth2/authorize?client_id=spa&redirect_uri=https://evil.example")
    page = check_page(wrong.answer, 400, "This link does not work")
    assert "evil" not in page.text("p")[0]
    check_page((await browser.get("/oauth2/authorize?client_id")).answer, 400, "That did not work")


async def test_the_style_sheet_is_served_and_nothing_else(portal: Portal, autojump_clock: MockClock) -> None:
    browser = portal.browser()
    (link,) = (await browser.get(portal.request())).page.all("link")
    style = (await browser.get(str(link["href"]))).answer
    assert style.status == 200
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert style.headers["x-content-type-options"] == "nosniff"
    assert b"prefers-color-scheme: dark" in style.content
    assert b"url(" not in style.content
    for target in ("/login.html", "/pages/login.html", "/style.css/../login.html"):
        assert (await browser.get(target)).answer.status == 404


def test_every_scope_that_a_user_can_give_has_words() -> None:
    assert set(SCOPE_WORDS) == ORDER_SCOPES | OIDC_SCOPES


async def test_a_client_logs_its_user_out_with_an_id_token_and_without_a_question(
    portal: Portal, autojump_clock: MockClock
) -> None:
    browser = portal.browser()
    tokens = await portal.tokens(browser)
    hint = tokens["id_token"]
    done = await browser.get(f"/logout?id_token_hint={hint}&post_logout_redirect_uri={GOODBYE}&state=s%20t")
    assert done.url == f"{GOODBYE}?state=s+t"
    assert "__Host-sts-session" not in browser.cookies
    assert not await portal.is_alive(tokens["access_token"])
    refreshed = await portal.system.token_request(
        {"grant_type": "refresh_token", "client_id": "spa", "refresh_token": tokens["refresh_token"]}
    )
    assert refreshed.status == 400
    assert (await browser.get(portal.request())).page.text("h1") == ["Sign in"]


async def test_logging_out_without_proof_is_asked_about(portal: Portal, autojump_clock: MockClock) -> None:
    browser = portal.browser()
    tokens = await portal.tokens(browser)
    asked = await browser.get(f"/logout?client_id=spa&post_logout_redirect_uri={GOODBYE}")
    page = check_page(asked.answer, 200, "Sign out?", " https://shop.example")
    assert page.text("strong") == ["alice", 'The "<Shop>"']
    assert await portal.is_alive(tokens["access_token"])
    assert (await browser.submit(asked)).url == GOODBYE
    assert not await portal.is_alive(tokens["access_token"])
    check_page((await browser.get("/logout")).answer, 200, "You are signed out")
    posted = await browser.post("/logout", {"client_id": "spa", "post_logout_redirect_uri": GOODBYE}, [])
    assert posted.url == GOODBYE


async def test_an_id_token_of_another_session_is_no_proof(portal: Portal, autojump_clock: MockClock) -> None:
    mine, other = portal.browser(), portal.browser()
    hint = (await portal.tokens(other, "bob"))["id_token"]
    tokens = await portal.tokens(mine)
    for text in (hint, hint[:-4] + "AAAA", tokens["access_token"], "x"):
        asked = await mine.get(f"/logout?id_token_hint={text}")
        check_page(asked.answer, 200, "Sign out?")
    assert await portal.is_alive(tokens["access_token"])


async def test_nobody_is_sent_to_where_no_client_registered(portal: Portal, autojump_clock: MockClock) -> None:
    for query in (
        f"post_logout_redirect_uri={GOODBYE}",
        f"client_id=spa&post_logout_redirect_uri={GOODBYE}/",
        f"client_id=spa&post_logout_redirect_uri={CALLBACK}",
        f"client_id=alice-app&post_logout_redirect_uri={GOODBYE}",
        f"client_id=%00&post_logout_redirect_uri={GOODBYE}",
        f"client_id=spa&client_id=spa&post_logout_redirect_uri={GOODBYE}",
    ):
        check_page((await portal.browser().get(f"/logout?{query}")).answer, 400, "That did not work")
