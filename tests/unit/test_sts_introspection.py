"""Introspection (RFC 7662) and revocation (RFC 7009)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ordermgmt.security.jose_json import decode_base64url, decode_object
from ordermgmt.security.keys import SigningKey
from ordermgmt.sts.contract import INTROSPECT_PATH, REVOKE_PATH
from ordermgmt.sts.domain import Authority
from tests.unit.authorization_setup import (
    SECRET,
    Browser,
    introspect,
    is_alive,
    open_authorization,
    redeem,
    redemption,
    refresh,
    revoke,
)
from tests.unit.sts_setup import INVENTORY, ISSUER, ORDERS, OWN, basic, exchange_of, service

DEAD = {"active": False}


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with open_authorization(tmp_path) as opened:
        yield opened


async def as_service(browser: Browser, name: str, token: str) -> Any:
    form = {"token": token, "client_id": name}
    answer = await browser.sts.post(form, peer=service(name), path=INTROSPECT_PATH)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    return answer.body


@pytest.mark.parametrize("path", [INTROSPECT_PATH, REVOKE_PATH])
@pytest.mark.parametrize(
    ("form", "headers", "status", "error"),
    [
        ({"token": "TOKEN"}, [], 401, "invalid_client"),
        ({"token": "TOKEN"}, [basic("web", "wrong")], 401, "invalid_client"),
        ({"token": "TOKEN", "client_id": "web"}, [], 401, "invalid_client"),
        ({"token": "TOKEN", "client_id": "gateway"}, [], 401, "invalid_client"),
        ({}, SECRET, 400, "invalid_request"),
        ({"token": ""}, SECRET, 400, "invalid_request"),
    ],
)
async def test_both_want_a_client_and_a_token(
    browser: Browser, path: str, form: dict[str, str], headers: list[tuple[str, str]], status: int, error: str
) -> None:
    """RFC 7662 section 2.1 and 2.3, RFC 7009 section 2.1."""
    token = (await browser.tokens())["access_token"]
    sent = {name: token if value == "TOKEN" else value for name, value in form.items()}
    answer = await browser.sts.post(sent, headers=headers, path=path)
    assert (answer.status, answer.body["error"]) == (status, error)
    assert await is_alive(browser.sts, token)


@pytest.mark.parametrize("path", [INTROSPECT_PATH, REVOKE_PATH])
async def test_both_refuse_a_repeated_token(browser: Browser, path: str) -> None:
    answer = await browser.sts.post([("token", "a"), ("token", "a")], headers=SECRET, path=path)
    assert (answer.status, answer.body["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", [INTROSPECT_PATH, REVOKE_PATH])
async def test_both_take_only_post_and_nothing_from_the_url(browser: Browser, path: str) -> None:
    """RFC 7662 section 2.1, RFC 7009 sections 2.1 and 2.3: no JSONP either."""
    token = (await browser.tokens())["access_token"]
    answer = await browser.sts.get(f"{path}?token={token}&callback=f", SECRET)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    answer = await browser.sts.post({"token": token}, headers=SECRET, path=f"{path}?token={token}")
    assert (answer.status, answer.body["error"]) == (400, "invalid_request")
    assert await is_alive(browser.sts, token)


@pytest.mark.parametrize("hint", ["refresh_token", "access_token", "saml_assertion", ""])
async def test_a_hint_changes_nothing(browser: Browser, hint: str) -> None:
    """RFC 7009 section 2.1, RFC 7662 section 2.1: another kind is looked for, too, and unknown hints are ignored."""
    tokens = await browser.tokens()
    for kind in ("access_token", "refresh_token"):
        form = {"token": tokens[kind], "token_type_hint": hint}
        assert (await browser.sts.post(form, headers=SECRET, path=INTROSPECT_PATH)).body["active"] is True
        assert (await browser.sts.post(form, headers=SECRET, path=REVOKE_PATH)).status == 200
        assert await introspect(browser.sts, tokens[kind]) == DEAD


async def test_a_jwt_is_active_only_if_all_of_it_is_good(browser: Browser) -> None:
    """RFC 7662 section 4: time and signature count, whoever asks."""
    jwt = (await redeem(browser.sts, await browser.code(resource=ORDERS))).body["access_token"]
    claims = decode_object(decode_base64url(jwt.split(".")[1]), 8192)
    assert (await introspect(browser.sts, jwt))["active"] is True
    assert (await introspect(browser.sts, browser.sts.key.sign(claims, "at+jwt")))["active"] is True
    for changes in ({"nbf": claims["iat"] + 60}, {"exp": claims["iat"]}, {"iss": "https://other.test"}):
        assert await introspect(browser.sts, browser.sts.key.sign({**claims, **changes}, "at+jwt")) == DEAD
    assert await introspect(browser.sts, SigningKey.generate("ES256").sign(claims, "at+jwt")) == DEAD
    head, body, signature = jwt.split(".")
    for forged in (f"{head}.{body}.{signature[::-1]}", f"{head}.{body}.", f"{head}.{body}"):
        assert await introspect(browser.sts, forged) == DEAD


async def test_a_public_client_may_not_introspect(browser: Browser) -> None:
    answer = await browser.sts.post({"token": "x", "client_id": "spa"}, path=INTROSPECT_PATH)
    assert (answer.status, answer.body["error"]) == (401, "invalid_client")


async def test_a_bearer_token_does_not_open_introspection(browser: Browser) -> None:
    token = (await browser.tokens())["access_token"]
    headers = [("authorization", f"Bearer {token}")]
    answer = await browser.sts.post({"token": token}, headers=headers, path=INTROSPECT_PATH)
    assert (answer.status, answer.body["error"]) == (401, "invalid_client")


async def test_a_client_sees_its_own_tokens(browser: Browser) -> None:
    tokens = await browser.tokens()
    session = await browser.sts.sessions.find_session(browser.cookie)
    assert session is not None
    now = int(browser.sts.clock.now())
    expected = {
        "active": True,
        "iss": ISSUER,
        "sub": "alice",
        "username": "alice",
        "client_id": "web",
        "aud": "gateway",
        "scope": "add_order openid",
        "sid": session.sid,
        "token_type": "Bearer",
        "exp": now + 3600,
    }
    assert await introspect(browser.sts, tokens["access_token"]) == expected
    del expected["token_type"]
    refreshed = expected | {"exp": now + 14 * 86400}
    assert await introspect(browser.sts, tokens["refresh_token"]) == refreshed


async def test_a_service_sees_tokens_that_are_meant_for_it(browser: Browser) -> None:
    token = (await browser.tokens())["access_token"]
    assert (await as_service(browser, "gateway", token))["sub"] == "alice"
    exchanged = (await browser.sts.post(exchange_of(token), peer=service("gateway"))).body["access_token"]
    seen = await as_service(browser, "order", exchanged)
    assert (seen["sub"], seen["act"], seen["aud"]) == ("alice", {"sub": "client:gateway"}, "order")
    assert (await as_service(browser, "gateway", exchanged))["active"] is True


async def test_a_bound_token_shows_what_it_is_bound_to(browser: Browser) -> None:
    """RFC 8705 section 3.2."""
    form = {**OWN, "client_id": "order", "resource": INVENTORY}
    token = (await browser.sts.post(form, peer=service("order", thumbprint="t-1"))).body["access_token"]
    form = {"token": token, "client_id": "order"}
    answer = await browser.sts.post(form, peer=service("order", thumbprint="t-2"), path=INTROSPECT_PATH)
    assert answer.body["cnf"] == {"x5t#S256": "t-1"}
    assert "username" not in answer.body


async def test_what_is_anothers_is_not_active(browser: Browser) -> None:
    """RFC 7662 section 2.2: nothing more is said."""
    tokens = await browser.tokens()
    jwt = (await browser.sts.post(exchange_of(tokens["access_token"]), peer=service("gateway"))).body["access_token"]
    for token in (tokens["access_token"], tokens["refresh_token"], jwt):
        assert await introspect(browser.sts, token, "other") == DEAD
    assert await as_service(browser, "order", tokens["access_token"]) == DEAD
    assert await as_service(browser, "gateway", tokens["refresh_token"]) == DEAD


@pytest.mark.parametrize("token", ["x", "oma_" + "x" * 43, "omr_" + "x" * 43, "a.b.c", "ä\x00", "x" * 9000])
async def test_what_is_no_token_is_not_active_and_nothing_to_revoke(browser: Browser, token: str) -> None:
    assert await introspect(browser.sts, token) == DEAD
    answer = await revoke(browser.sts, token)
    assert (answer.status, answer.body) == (200, None)


async def test_an_id_token_is_no_token_here(browser: Browser) -> None:
    assert await introspect(browser.sts, (await browser.tokens())["id_token"]) == DEAD


async def test_what_has_had_its_time_is_not_active(browser: Browser) -> None:
    tokens = await browser.tokens()
    browser.sts.clock.time += 3600
    assert await introspect(browser.sts, tokens["access_token"]) == DEAD
    later = (await refresh(browser.sts, tokens["refresh_token"])).body
    assert await introspect(browser.sts, tokens["refresh_token"]) == DEAD
    assert (await introspect(browser.sts, later["refresh_token"]))["active"] is True
    browser.sts.clock.time += 14 * 86400
    assert await introspect(browser.sts, later["refresh_token"]) == DEAD


async def test_a_logout_leaves_nothing_active(browser: Browser) -> None:
    tokens = await browser.tokens()
    jwt = (await browser.sts.post(exchange_of(tokens["access_token"]), peer=service("gateway"))).body["access_token"]
    await browser.logout()
    assert await introspect(browser.sts, tokens["access_token"]) == DEAD
    assert await introspect(browser.sts, tokens["refresh_token"]) == DEAD
    assert await as_service(browser, "order", jwt) == DEAD


async def test_a_logout_ends_exchanges_of_opaque_tokens_and_of_jwts(browser: Browser) -> None:
    opaque = (await browser.tokens())["access_token"]
    session = await browser.sts.sessions.find_session(browser.cookie)
    assert session is not None
    now = int(browser.sts.clock.now())
    authority = Authority(ISSUER, "alice", frozenset({"add_order"}), "gateway", now + 60, "web", sid=session.sid)
    jwt = browser.sts.mint.jwt(authority, now).response.access_token
    for token in (opaque, jwt):
        assert (await browser.sts.post(exchange_of(token), peer=service("gateway"))).status == 200
    await browser.logout()
    for token in (opaque, jwt):
        answer = await browser.sts.post(exchange_of(token), peer=service("gateway"))
        assert (answer.status, answer.body["error"]) == (400, "invalid_request")


async def test_a_revoked_access_token_is_dead_and_its_family_goes_on(browser: Browser) -> None:
    tokens = await browser.tokens()
    assert (await revoke(browser.sts, tokens["access_token"])).status == 200
    assert not await is_alive(browser.sts, tokens["access_token"])
    assert (await refresh(browser.sts, tokens["refresh_token"])).status == 200
    assert (await revoke(browser.sts, tokens["access_token"])).status == 200


async def test_a_revoked_refresh_token_takes_its_family_with_it(browser: Browser) -> None:
    """RFC 7009 section 2.1."""
    first = await browser.tokens()
    second = (await refresh(browser.sts, first["refresh_token"])).body
    assert (await revoke(browser.sts, first["refresh_token"])).status == 200
    assert (await refresh(browser.sts, second["refresh_token"])).body["error"] == "invalid_grant"
    for tokens in (first, second):
        assert not await is_alive(browser.sts, tokens["access_token"])


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_nobody_revokes_anothers_token(browser: Browser, kind: str) -> None:
    """RFC 7009 section 2.1."""
    tokens = await browser.tokens()
    answer = await revoke(browser.sts, tokens[kind], "other")
    assert (answer.status, answer.body["error"]) == (400, "invalid_grant")
    assert await is_alive(browser.sts, tokens["access_token"])
    assert (await refresh(browser.sts, tokens["refresh_token"])).status == 200


async def test_a_jwt_cannot_be_revoked(browser: Browser) -> None:
    """RFC 7009 section 2.2.1."""
    jwt = (await redeem(browser.sts, await browser.code(resource=ORDERS))).body["access_token"]
    answer = await revoke(browser.sts, jwt)
    assert (answer.status, answer.body["error"]) == (400, "unsupported_token_type")


async def test_a_public_client_may_revoke(browser: Browser) -> None:
    changes = {"client_id": "spa", "redirect_uri": "https://spa.test/cb"}
    code = await browser.code(**changes)
    tokens = (await browser.sts.post(redemption(code, **changes))).body
    form = {"token": tokens["refresh_token"], "client_id": "spa", "token_type_hint": "access_token"}
    assert (await browser.sts.post(form, path=REVOKE_PATH)).status == 200
    assert not await is_alive(browser.sts, tokens["access_token"])
