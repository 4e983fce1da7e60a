"""OpenID Connect: ID tokens, userinfo, discovery."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ordermgmt.errors import Unauthenticated
from ordermgmt.security.tokens import TrustedIssuer, verify
from ordermgmt.sts.contract import OPENID_METADATA_PATH, USERINFO_PATH
from tests.unit.authorization_setup import SECRET, Browser, open_authorization, redeem, refresh
from tests.unit.sts_setup import ISSUER, NOW, ORDERS, OWN, Sts, exchange_of, service


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with open_authorization(tmp_path) as opened:
        yield opened


def parts(token: str) -> list[Any]:
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]


def check_signature(sts: Sts, id_token: str) -> None:
    trust = TrustedIssuer(ISSUER, "web", ("ES256",), token_types=("JWT",))
    verify(id_token, {sts.key.kid: sts.key.verification_key()}, trust, sts.clock.now())


async def test_an_id_token_says_who_has_logged_in_where_and_when(browser: Browser) -> None:
    """OpenID Connect Core sections 2, 3.1.3.6 and 3.1.3.7."""
    await browser.login()
    browser.sts.clock.time += 30
    tokens = await browser.tokens()
    check_signature(browser.sts, tokens["id_token"])
    header, claims = parts(tokens["id_token"])
    session = await browser.sts.sessions.find_session(browser.cookie)
    assert session is not None
    assert header == {"alg": "ES256", "typ": "JWT", "kid": browser.sts.key.kid}
    half = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    assert claims == {
        "iss": ISSUER,
        "sub": "alice",
        "aud": "web",
        "azp": "web",
        "iat": NOW + 30,
        "exp": NOW + 330,
        "auth_time": NOW,
        "nonce": "n-1",
        "at_hash": base64.urlsafe_b64encode(half).decode().rstrip("="),
        "sid": session.sid,
    }


async def test_a_nonce_that_was_not_sent_does_not_come_back(browser: Browser) -> None:
    assert "nonce" not in parts((await browser.tokens(nonce=""))["id_token"])[1]


async def test_profile_adds_what_the_user_is_called(browser: Browser) -> None:
    """OpenID Connect Core section 5.4."""
    tokens = await browser.tokens(scope="openid profile")
    claims = parts(tokens["id_token"])[1]
    assert (claims["preferred_username"], claims["name"]) == ("alice", "Alice")
    answer = await browser.sts.get(USERINFO_PATH, bearer(tokens["access_token"]))
    assert answer.body == {"sub": "alice", "preferred_username": "alice", "name": "Alice"}


async def test_without_openid_there_is_no_id_token(browser: Browser) -> None:
    tokens = await browser.tokens(scope="add_order")
    assert "id_token" not in tokens
    answer = await browser.sts.get(USERINFO_PATH, bearer(tokens["access_token"]))
    assert answer.status == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


async def test_an_id_token_comes_with_a_jwt_for_another_target_too(browser: Browser) -> None:
    tokens = (await redeem(browser.sts, await browser.code(resource=ORDERS))).body
    assert "openid" not in tokens["scope"]
    check_signature(browser.sts, tokens["id_token"])


async def test_an_id_token_is_no_access_token_anywhere(browser: Browser) -> None:
    id_token = (await browser.tokens())["id_token"]
    for audience in ("web", "gateway", "order"):
        with pytest.raises(Unauthenticated, match="wrong-type"):
            browser.sts.read(id_token, audience)
    assert (await browser.sts.get(USERINFO_PATH, bearer(id_token))).status == 401
    for kind in ("access_token", "id_token", "jwt"):
        form = exchange_of(id_token, subject_token_type=f"urn:ietf:params:oauth:token-type:{kind}")
        answer = await browser.sts.post(form, peer=service("gateway"))
        assert (answer.status, answer.body["error"]) == (400, "invalid_request")


async def test_an_access_token_is_no_id_token(browser: Browser) -> None:
    """RFC 8725 section 3.12: the same claims with the other type prove nothing about a session."""
    claims = parts((await browser.tokens())["id_token"])[1]
    read = browser.sts.mint.read_id_token(browser.sts.key.sign(claims, "JWT"), ISSUER)
    assert read is not None
    assert read.sid == claims["sid"]
    assert browser.sts.mint.read_id_token(browser.sts.key.sign(claims, "at+jwt"), ISSUER) is None


async def test_a_hint_of_another_user_does_not_change_who_is_logged_in(browser: Browser) -> None:
    """OpenID Connect Core section 3.1.2.1."""
    hint = (await browser.tokens())["id_token"]
    await browser.login("bob")
    await browser.code()
    reached = await browser.authorize(id_token_hint=hint, prompt="none")
    tokens = (await redeem(browser.sts, reached.parameters["code"])).body
    assert parts(tokens["id_token"])[1]["sub"] == "bob"


async def test_userinfo_takes_get_and_post(browser: Browser) -> None:
    """OpenID Connect Core section 5.3.1."""
    token = (await browser.tokens())["access_token"]
    for answer in (
        await browser.sts.get(USERINFO_PATH, bearer(token)),
        await browser.sts.post(b"", headers=bearer(token), path=USERINFO_PATH),
    ):
        assert (answer.status, answer.body) == (200, {"sub": "alice"})
        assert answer.headers["cache-control"] == "no-store"


async def test_userinfo_takes_nothing_but_a_users_opaque_token(browser: Browser) -> None:
    """RFC 6750 section 3."""
    tokens = await browser.tokens()
    own = (await browser.sts.post(OWN, headers=SECRET)).body
    assert own["scope"] == "add_order cancel_order"
    assert (await browser.sts.get(USERINFO_PATH, bearer(own["access_token"]))).status == 403
    jwt = (await browser.sts.post(exchange_of(tokens["access_token"]), peer=service("gateway"))).body["access_token"]
    for token in (jwt, tokens["refresh_token"], "oma_" + "x" * 43):
        answer = await browser.sts.get(USERINFO_PATH, bearer(token))
        assert answer.status == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    answer = await browser.sts.get(USERINFO_PATH)
    assert answer.status == 401
    assert "error" not in answer.headers["www-authenticate"]
    browser.sts.clock.time += 3600
    assert (await browser.sts.get(USERINFO_PATH, bearer(tokens["access_token"]))).status == 401


async def test_a_refresh_gives_no_new_id_token(browser: Browser) -> None:
    """OpenID Connect Core section 12.2: it need not."""
    assert "id_token" not in (await refresh(browser.sts, (await browser.tokens())["refresh_token"])).body


async def test_discovery_names_what_is_there(browser: Browser) -> None:
    """OpenID Connect Discovery section 3, RFC 8414 section 2, RFC 9207 section 3."""
    document = (await browser.sts.get(OPENID_METADATA_PATH)).body
    plain = (await browser.sts.get("/.well-known/oauth-authorization-server")).body
    assert plain.items() <= document.items()
    assert document["issuer"] == ISSUER
    paths = {
        "authorization_endpoint": "/oauth2/authorize",
        "token_endpoint": "/oauth2/token",
        "userinfo_endpoint": "/oauth2/userinfo",
        "introspection_endpoint": "/oauth2/introspect",
        "revocation_endpoint": "/oauth2/revoke",
        "jwks_uri": "/oauth2/jwks",
    }
    assert {name: document[name] for name in paths} == {name: ISSUER + path for name, path in paths.items()}
    for path in paths.values():
        assert (await browser.sts.get(path)).status != 404
    assert document["response_types_supported"] == ["code"]
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["subject_types_supported"] == ["public"]
    assert document["id_token_signing_alg_values_supported"] == ["ES256"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["request_uri_parameter_supported"] is False
    assert "none" not in document["introspection_endpoint_auth_methods_supported"]
    assert {"openid", "profile", "add_order"} <= set(document["scopes_supported"])


def bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]
