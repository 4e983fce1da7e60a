"""The authorization endpoint: the ways to a code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from ordermgmt.errors import NotFound, Unavailable
from ordermgmt.sts import authorization_store
from ordermgmt.sts.contract import AUTHORIZE_PATH, SESSION_COOKIE
from tests.unit.authorization_setup import CALLBACK, REQUEST, Browser, arrival, open_authorization
from tests.unit.sts_setup import DOMAIN, ISSUER, ORDERS


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with open_authorization(tmp_path) as opened:
        yield opened


async def test_login_then_consent_then_code(browser: Browser) -> None:
    login = await browser.authorize(login_hint="alice")
    assert login.url == ISSUER + "/login"
    assert (await browser.sts.authorizations.pending(login.parameters["request"])).pending.login_hint == "alice"
    await browser.login()
    consent = await browser.go_on(login)
    assert consent.url == ISSUER + "/consent"
    waiting = await browser.sts.authorizations.pending(consent.parameters["request"])
    assert waiting.client.title == "The Shop"
    assert waiting.pending.scopes == {"openid", "add_order"}
    done = await browser.consent(consent)
    assert done.url == CALLBACK
    assert set(done.parameters) == {"code", "state", "iss"}
    assert (done.parameters["state"], done.parameters["iss"]) == (REQUEST["state"], ISSUER)


async def test_a_request_is_answered_once(browser: Browser) -> None:
    await browser.login()
    consent = await browser.authorize()
    await browser.consent(consent)
    with pytest.raises(NotFound):
        await browser.go_on(consent)
    with pytest.raises(NotFound):
        await browser.consent(consent)
    with pytest.raises(NotFound):
        await browser.sts.authorizations.deny(consent.parameters["request"])


async def test_a_request_waits_ten_minutes(browser: Browser) -> None:
    login = await browser.authorize()
    browser.sts.clock.time += 600
    with pytest.raises(NotFound):
        await browser.sts.authorizations.pending(login.parameters["request"])
    with pytest.raises(NotFound):
        await browser.go_on(login)


async def test_an_unknown_request_is_not_found(browser: Browser) -> None:
    with pytest.raises(NotFound):
        await browser.sts.authorizations.pending("nothing")


async def test_a_user_may_say_no(browser: Browser) -> None:
    await browser.login()
    consent = await browser.authorize()
    sent_to = arrival(await browser.sts.authorizations.deny(consent.parameters["request"]))
    assert (sent_to.url, sent_to.parameters["error"]) == (CALLBACK, "access_denied")
    assert sent_to.parameters["state"] == REQUEST["state"]


async def test_consent_is_remembered_for_what_it_was_given_for(browser: Browser) -> None:
    await browser.code()
    assert "code" in (await browser.authorize()).parameters
    assert "code" in (await browser.authorize(prompt="none")).parameters
    assert "code" in (await browser.authorize(scope="openid")).parameters
    more = await browser.authorize(scope="openid cancel_order")
    assert more.url.endswith("/consent")
    assert (await browser.authorize(scope="cancel_order", prompt="none")).parameters["error"] == "consent_required"
    await browser.consent(more)
    assert "code" in (await browser.authorize(scope="add_order cancel_order")).parameters


async def test_consent_is_the_users_own(browser: Browser) -> None:
    await browser.code()
    await browser.login("bob")
    assert (await browser.authorize()).url.endswith("/consent")


async def test_prompt_consent_asks_again(browser: Browser) -> None:
    await browser.code()
    again = await browser.authorize(prompt="consent")
    assert again.url.endswith("/consent")
    assert "code" in (await browser.consent(again)).parameters


async def test_a_consent_in_one_session_is_none_in_another(browser: Browser) -> None:
    await browser.login()
    consent = await browser.authorize(prompt="consent")
    session = await browser.sts.sessions.find_session(browser.cookie)
    assert session is not None
    await browser.sts.authorizations.grant_consent(consent.parameters["request"], session)
    await browser.login("bob")
    assert (await browser.go_on(consent)).url.endswith("/consent")


@pytest.mark.parametrize("redirect_uri", ["http://127.0.0.1:54321/cb", "http://127.0.0.1/cb", "http://[::1]:7/cb?x=1"])
async def test_a_native_app_takes_any_port_and_asks_each_time(browser: Browser, redirect_uri: str) -> None:
    """RFC 8252 sections 7.3 and 8.6."""
    changes = {"client_id": "spa", "redirect_uri": redirect_uri}
    await browser.code(**changes)
    assert (await browser.authorize(**changes)).url.endswith("/consent")
    assert (await browser.authorize(**changes, prompt="none")).parameters["error"] == "consent_required"


async def test_a_public_client_with_a_site_of_its_own_is_asked_about_once(browser: Browser) -> None:
    changes = {"client_id": "spa", "redirect_uri": "https://spa.test/cb"}
    await browser.code(**changes)
    assert "code" in (await browser.authorize(**changes)).parameters


@pytest.mark.parametrize("prompt", ["login", "select_account"])
async def test_prompt_login_takes_only_a_new_login(browser: Browser, prompt: str) -> None:
    await browser.code()
    browser.sts.clock.time += 1
    login = await browser.authorize(prompt=prompt)
    assert login.url.endswith("/login")
    assert (await browser.go_on(login)).url.endswith("/login")
    await browser.login()
    assert "code" in (await browser.go_on(login)).parameters


async def test_max_age_takes_only_a_recent_login(browser: Browser) -> None:
    await browser.code()
    browser.sts.clock.time += 100
    assert "code" in (await browser.authorize(max_age="100")).parameters
    assert (await browser.authorize(max_age="99")).url.endswith("/login")
    assert (await browser.authorize(max_age="99", prompt="none")).parameters["error"] == "login_required"


async def test_an_answer_keeps_the_query_of_the_redirect_uri(browser: Browser) -> None:
    """RFC 6749 section 3.1.2."""
    await browser.code()
    sent_to = await browser.authorize(redirect_uri="https://web.test/cb?tenant=1")
    assert sent_to.parameters["tenant"] == "1"
    assert "code" in sent_to.parameters


async def test_an_answer_without_a_state_has_none(browser: Browser) -> None:
    await browser.code()
    assert set((await browser.authorize(state="")).parameters) == {"code", "iss"}


async def test_unknown_scopes_and_parameters_are_ignored(browser: Browser) -> None:
    """OpenID Connect Core section 3.1.2.1, RFC 6749 section 3.1."""
    await browser.login()
    consent = await browser.authorize(("shoe_size", "9"), scope="openid offline_access")
    assert (await browser.sts.authorizations.pending(consent.parameters["request"])).pending.scopes == {"openid"}


async def test_a_parameter_without_a_value_counts_as_omitted(browser: Browser) -> None:
    """RFC 6749 section 3.1."""
    await browser.login()
    empty = [(name, "") for name in ("prompt", "max_age", "resource", "request", "scope", "state", "redirect_uri")]
    assert (await browser.authorize(*empty)).url.endswith("/consent")


async def test_what_a_client_would_rather_have_makes_no_error(browser: Browser) -> None:
    """OpenID Connect Core section 15.1."""
    await browser.code()
    wishes = {"display": "popup", "ui_locales": "de tlh", "claims_locales": "de", "acr_values": "urn:x"}
    assert "code" in (await browser.authorize(*wishes.items())).parameters


async def test_one_target_may_be_named_in_several_ways(browser: Browser) -> None:
    """RFC 8707 section 2."""
    await browser.code()
    several = [("resource", ORDERS), ("resource", ORDERS), ("resource", f"spiffe://{DOMAIN}/order")]
    assert "code" in (await browser.authorize(*several)).parameters


async def test_without_a_scope_it_is_all_but_identity(browser: Browser) -> None:
    await browser.login()
    consent = await browser.authorize(scope="")
    waiting = await browser.sts.authorizations.pending(consent.parameters["request"])
    assert waiting.pending.scopes == {"add_order", "cancel_order"}


async def test_a_user_who_may_do_nothing_of_it_is_not_asked(browser: Browser) -> None:
    await browser.login("eve")
    assert (await browser.authorize(scope="add_order")).parameters["error"] == "access_denied"


async def test_a_request_may_be_posted(browser: Browser) -> None:
    """OpenID Connect Core section 3.1.2.1: as a form, and then the URL has no say."""
    answer = await browser.sts.post(REQUEST, path=AUTHORIZE_PATH)
    assert answer.status == 303
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert arrival(answer.headers["location"]).url.endswith("/login")
    assert (await browser.sts.post(b"", path=f"{AUTHORIZE_PATH}?{urlencode(REQUEST)}")).status == 400


@pytest.mark.parametrize("query", ["client_id", "client_id=%ff", "=&=", "a" * 10 + "&b=1"])
async def test_a_query_that_is_no_form_is_refused(browser: Browser, query: str) -> None:
    assert (await browser.sts.get(f"{AUTHORIZE_PATH}?{query}")).status == 400


async def test_what_cannot_be_kept_now_is_told_to_the_user(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 6749 section 4.1.2.1 has codes for the client, too; but the next request of the user may well succeed."""

    def fail(*_: object) -> None:
        raise Unavailable("storage-unavailable", retry_after=1)

    with monkeypatch.context() as patch:
        patch.setattr(authorization_store, "add_pending", fail)
        answer = await browser.send()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert "location" not in answer.headers
    assert (await browser.authorize()).url.endswith("/login")


async def test_a_rubbish_cookie_is_no_session(browser: Browser) -> None:
    for cookie in ("x", "ä", "", '"'):
        answer = await browser.sts.get(
            f"{AUTHORIZE_PATH}?{urlencode(REQUEST)}", [("cookie", f"{SESSION_COOKIE}={cookie}")]
        )
        assert arrival(answer.headers["location"]).url.endswith("/login")


async def test_a_client_that_was_disabled_meanwhile_gets_no_code(browser: Browser) -> None:
    login = await browser.authorize()
    await browser.login()
    await browser.sts.database.write(lambda transaction: transaction.execute("UPDATE clients SET disabled = 1"))
    with pytest.raises(NotFound):
        await browser.go_on(login)
    with pytest.raises(NotFound):
        await browser.sts.authorizations.pending(login.parameters["request"])
