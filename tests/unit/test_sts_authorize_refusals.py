"""What the authorization endpoint refuses, and where it says so: a row for each rule, with its section."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.authorization_setup import CALLBACK, REQUEST, Browser, open_authorization
from tests.unit.sts_setup import INVENTORY, ISSUER, ORDERS


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with open_authorization(tmp_path) as opened:
        yield opened


GATEWAY = "https://gateway.test"
NOWHERE = [
    # what the RFC says, changes, more parameters
    ("6749-4.1.2.1 no client_id", {"client_id": ""}, []),
    ("6749-4.1.2.1 unknown client", {"client_id": "nobody"}, []),
    ("6749-4.1.2.1 a client's name is no id", {"client_id": "The Shop"}, []),
    ("6749-3.1 client_id twice", {}, [("client_id", "web")]),
    ("6749-3.1.2.3 no redirect_uri", {"redirect_uri": ""}, []),
    ("6749-3.1 redirect_uri twice", {}, [("redirect_uri", CALLBACK)]),
    ("6749-3.1.2.4 redirect_uri not registered", {"redirect_uri": "https://evil.test/cb"}, []),
    ("9700-2.1 more path", {"redirect_uri": CALLBACK + "/x"}, []),
    ("9700-2.1 more query", {"redirect_uri": CALLBACK + "?x"}, []),
    ("9700-2.1 other case", {"redirect_uri": "https://WEB.test/cb"}, []),
    ("9700-2.1 with its port", {"redirect_uri": "https://web.test:443/cb"}, []),
    ("6749-3.1.2 a fragment", {"redirect_uri": CALLBACK + "#x"}, []),
    ("another client's", {"redirect_uri": "https://other.test/cb"}, []),
    ("8252-7.3 loopback of a confidential client", {"redirect_uri": "http://127.0.0.1:5/cb"}, []),
    ("8252-8.3 localhost is a name", {"client_id": "spa", "redirect_uri": "http://localhost:5/cb"}, []),
    ("8252-7.3 other path", {"client_id": "spa", "redirect_uri": "http://127.0.0.1:5/cb/x"}, []),
    ("8252-7.3 other address", {"client_id": "spa", "redirect_uri": "http://127.0.0.2:5/cb"}, []),
    ("8252-7.3 not https", {"client_id": "spa", "redirect_uri": "https://127.0.0.1:5/cb"}, []),
    ("8252-7.3 no port at all", {"client_id": "spa", "redirect_uri": "http://127.0.0.1:/cb"}, []),
    ("8252-7.3 user in the URI", {"client_id": "spa", "redirect_uri": "http://127.0.0.1:5@evil.test/cb"}, []),
    ("no client of users", {"client_id": "alice-app", "redirect_uri": CALLBACK}, []),
]
REFUSED = [
    # what the RFC says, changes, more parameters, error
    ("6749-4.1.2.1 no response_type", {"response_type": ""}, [], "invalid_request"),
    ("6749-4.1.2.1 token (implicit)", {"response_type": "token"}, [], "unsupported_response_type"),
    ("oidc-3.3 hybrid", {"response_type": "code id_token"}, [], "unsupported_response_type"),
    ("6749-3.1 a parameter twice", {}, [("scope", "add_order")], "invalid_request"),
    ("6749-3.1 the same twice", {}, [("nonce", "n-1")], "invalid_request"),
    ("6749-3.1 an unknown one twice", {}, [("x", "1"), ("x", "1")], "invalid_request"),
    ("7636-4.4.1 no code_challenge", {"code_challenge": ""}, [], "invalid_request"),
    ("7636-4.3 plain by default", {"code_challenge_method": ""}, [], "invalid_request"),
    ("7636-4.4.1 plain", {"code_challenge_method": "plain"}, [], "invalid_request"),
    ("7636-4.2 no SHA-256", {"code_challenge": "x" * 42}, [], "invalid_request"),
    ("7636-4.2 padded", {"code_challenge": "x" * 43 + "="}, [], "invalid_request"),
    ("6749-3.3 scope of another", {"scope": "operate"}, [], "invalid_scope"),
    ("6749-3.3 scope of another among its own", {"scope": "add_order operate"}, [], "invalid_scope"),
    ("6749-3.3 scope unknown", {"scope": "everything"}, [], "invalid_scope"),
    ("6749-3.3 scope malformed", {"scope": "add_order\topenid"}, [], "invalid_scope"),
    ("8707-2 unknown resource", {"resource": "https://x.test"}, [], "invalid_target"),
    ("8707-2 resource not of this client", {"resource": INVENTORY}, [], "invalid_target"),
    ("8707-2 several resources", {}, [("resource", ORDERS), ("resource", GATEWAY)], "invalid_target"),
    ("8707-2 a fragment", {"resource": ORDERS + "#all"}, [], "invalid_target"),
    ("oidc-3.2 id_token (implicit)", {"response_type": "id_token"}, [], "unsupported_response_type"),
    ("oidc-6.1 request", {"request": "x.y.z"}, [], "request_not_supported"),
    ("oidc-6.2 request_uri", {"request_uri": "https://x.test"}, [], "request_uri_not_supported"),
    ("oidc-7.2.1 registration", {"registration": "{}"}, [], "registration_not_supported"),
    ("oidc-3.1.2.1 prompt none and more", {"prompt": "none login"}, [], "invalid_request"),
    ("unknown prompt", {"prompt": "dance"}, [], "invalid_request"),
    ("oidc-3.1.2.1 max_age", {"max_age": "-1"}, [], "invalid_request"),
    ("max_age no number", {"max_age": "٣"}, [], "invalid_request"),
    ("fragment response mode", {"response_mode": "fragment"}, [], "invalid_request"),
    ("a nonce that no database takes", {"nonce": "a\x00b"}, [], "invalid_request"),
    ("oidc-3.1.2.6 nobody logged in", {"prompt": "none"}, [], "login_required"),
]


@pytest.mark.parametrize(("changes", "more"), [row[1:] for row in NOWHERE], ids=[row[0] for row in NOWHERE])
async def test_without_a_proven_redirect_uri_the_browser_is_sent_nowhere(
    browser: Browser, changes: dict[str, str], more: list[tuple[str, str]]
) -> None:
    answer = await browser.send(*more, **changes)
    assert answer.status == 400
    assert "location" not in answer.headers
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(("changes", "more", "error"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_other_errors_go_to_the_client(
    browser: Browser, changes: dict[str, str], more: list[tuple[str, str]], error: str
) -> None:
    sent_to = await browser.authorize(*more, **changes)
    assert sent_to.url == CALLBACK
    assert sent_to.parameters["error"] == error
    assert sent_to.parameters["error_description"].isascii()
    assert sent_to.parameters["state"] == REQUEST["state"]
    assert sent_to.parameters["iss"] == ISSUER
    assert "code" not in sent_to.parameters


async def test_a_client_without_the_grant_is_told_so(browser: Browser) -> None:
    await browser.sts.database.write(
        lambda transaction: transaction.execute("UPDATE clients SET grants = 'refresh_token' WHERE id = 'web'")
    )
    assert (await browser.authorize()).parameters["error"] == "unauthorized_client"


@pytest.mark.parametrize("state", ["a\x00b", "ä", "x" * 2049])
async def test_a_state_that_cannot_be_passed_on_is_refused_without_it(browser: Browser, state: str) -> None:
    """RFC 6749 appendix A.5."""
    sent_to = await browser.authorize(state=state)
    assert sent_to.parameters["error"] == "invalid_request"
    assert "state" not in sent_to.parameters


async def test_a_state_that_comes_twice_is_not_passed_on(browser: Browser) -> None:
    assert "state" not in (await browser.authorize(("state", "2"))).parameters
