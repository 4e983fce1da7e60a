"""Authorization codes at the token endpoint (RFC 6749 section 4.1.3, RFC 7636 section 4.6, RFC 9700 section 4.5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.authorization_setup import (
    CALLBACK,
    SECRET,
    VERIFIER,
    Browser,
    is_alive,
    open_authorization,
    redeem,
    redemption,
    refresh,
)
from tests.unit.sts_setup import ORDERS, basic, exchange_of, service


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with open_authorization(tmp_path) as opened:
        yield opened


REFUSED = [
    # what the RFC says, changes, who, error
    ("6749-4.1.3 no code", {"code": ""}, "web", "invalid_request"),
    ("6749-4.1.3 no redirect_uri", {"redirect_uri": ""}, "web", "invalid_request"),
    ("7636-4.5 no verifier", {"code_verifier": ""}, "web", "invalid_request"),
    ("7636-4.1 verifier too short", {"code_verifier": VERIFIER[:-1]}, "web", "invalid_request"),
    ("7636-4.1 verifier too long", {"code_verifier": "x" * 129}, "web", "invalid_request"),
    ("7636-4.1 verifier with other characters", {"code_verifier": VERIFIER[:-1] + "+"}, "web", "invalid_request"),
    ("7636-4.1 verifier with a newline", {"code_verifier": VERIFIER + "\n"}, "web", "invalid_request"),
    ("7636-4.6 another verifier", {"code_verifier": VERIFIER[:-1] + "x"}, "web", "invalid_grant"),
    ("6749-5.2 unknown code", {"code": "omc_x"}, "web", "invalid_grant"),
    ("6749-4.1.3 another's code", {}, "other", "invalid_grant"),
    ("6749-4.1.3 other redirect_uri", {"redirect_uri": CALLBACK + "?tenant=1"}, "web", "invalid_grant"),
    ("6749-3.2.1 confidential client does not authenticate", {"client_id": "web"}, "", "invalid_client"),
    ("6749-3.2.1 nobody", {}, "", "invalid_client"),
    ("6749-5.2 public client without the code's", {"client_id": "spa"}, "", "invalid_grant"),
    ("8707-2.2 another target", {"resource": ORDERS}, "web", "invalid_target"),
    ("6749-6 more scope than the user gave", {"scope": "cancel_order"}, "web", "invalid_scope"),
]


@pytest.mark.parametrize(("changes", "who", "error"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_refusals_leave_the_code_as_it_is(
    browser: Browser, changes: dict[str, str], who: str, error: str
) -> None:
    code = await browser.code()
    headers = [basic(who, f"secret-of-{who}")] if who else []
    answer = await browser.sts.post(redemption(code) | changes, headers=headers)
    assert (answer.status, answer.body["error"]) == (401 if error == "invalid_client" else 400, error)
    assert code not in answer.body["error_description"]
    assert (await redeem(browser.sts, code)).status == 200


async def test_a_code_gives_the_tokens_of_its_session(browser: Browser) -> None:
    answer = await redeem(browser.sts, await browser.code())
    assert answer.headers["cache-control"] == "no-store"
    body = answer.body
    assert body.keys() == {"access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token"}
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 3600, "add_order openid")
    exchanged = await browser.sts.post(exchange_of(body["access_token"]), peer=service("gateway"))
    principal = browser.sts.read(exchanged.body["access_token"], "order")
    assert (principal.sub, principal.actors) == ("alice", ("client:gateway",))
    assert principal.scopes == {"add_order"}
    session = await browser.sts.sessions.find_session(browser.cookie)
    assert session is not None
    assert principal.sid == session.sid


async def test_a_user_passes_on_only_what_it_may_itself(browser: Browser) -> None:
    await browser.login("bob")
    assert (await browser.tokens(scope="add_order cancel_order"))["scope"] == "add_order"


async def test_a_public_client_says_who_it_is_and_no_more(browser: Browser) -> None:
    callback = "http://127.0.0.1:999/cb"
    code = await browser.code(client_id="spa", redirect_uri=callback)
    form = redemption(code, client_id="spa", redirect_uri=callback)
    assert (await browser.sts.post(form, headers=[basic("spa", "")])).body["error"] == "invalid_client"
    answer = await browser.sts.post(form)
    assert answer.status == 200
    renewal = {"grant_type": "refresh_token", "client_id": "spa", "refresh_token": answer.body["refresh_token"]}
    assert (await browser.sts.post(renewal)).status == 200


async def test_a_public_client_gets_nothing_for_itself(browser: Browser) -> None:
    answer = await browser.sts.post({"grant_type": "client_credentials", "client_id": "spa"})
    assert (answer.status, answer.body["error"]) == (401, "invalid_client")


async def test_a_client_without_the_refresh_grant_gets_no_refresh_token(browser: Browser) -> None:
    changes = {"client_id": "once", "redirect_uri": "https://once.test/cb"}
    code = await browser.code(**changes, scope="add_order")
    answer = await browser.sts.post(redemption(code, **changes))
    assert answer.body.keys() == {"access_token", "token_type", "expires_in", "scope"}


async def test_a_code_that_comes_again_takes_back_what_it_gave(browser: Browser) -> None:
    """RFC 6749 section 4.1.2."""
    code = await browser.code()
    first = (await redeem(browser.sts, code)).body
    second = (await refresh(browser.sts, first["refresh_token"])).body
    assert await is_alive(browser.sts, first["access_token"])
    again = await redeem(browser.sts, code)
    assert (again.status, again.body["error"]) == (400, "invalid_grant")
    assert not await is_alive(browser.sts, first["access_token"])
    assert not await is_alive(browser.sts, second["access_token"])
    assert (await refresh(browser.sts, second["refresh_token"])).body["error"] == "invalid_grant"


async def test_a_code_that_comes_again_after_its_time_does_so_too(browser: Browser) -> None:
    code = await browser.code()
    first = (await redeem(browser.sts, code)).body
    browser.sts.clock.time += 600
    assert (await redeem(browser.sts, code, code_verifier="x" * 43)).body["error"] == "invalid_grant"
    assert not await is_alive(browser.sts, first["access_token"])


async def test_another_client_with_a_used_code_takes_nothing_back(browser: Browser) -> None:
    code = await browser.code()
    first = (await redeem(browser.sts, code)).body
    answer = await browser.sts.post(redemption(code), headers=[basic("other", "secret-of-other")])
    assert answer.body["error"] == "invalid_grant"
    assert await is_alive(browser.sts, first["access_token"])


async def test_a_code_is_good_for_a_minute(browser: Browser) -> None:
    """RFC 6749 section 4.1.2: at most ten."""
    late, in_time = await browser.code(), await browser.code()
    browser.sts.clock.time += 59
    assert (await redeem(browser.sts, in_time)).status == 200
    browser.sts.clock.time += 1
    assert (await redeem(browser.sts, late)).body["error"] == "invalid_grant"


async def test_a_code_dies_with_its_session(browser: Browser) -> None:
    code = await browser.code()
    await browser.logout()
    assert (await redeem(browser.sts, code)).body["error"] == "invalid_grant"


@pytest.mark.parametrize("table", ["clients", "users"])
async def test_a_code_dies_with_its_client_and_its_user(browser: Browser, table: str) -> None:
    code = await browser.code()
    await browser.sts.database.write(lambda transaction: transaction.execute(f"UPDATE {table} SET disabled = 1"))  # noqa: S608
    error = (await redeem(browser.sts, code)).body["error"]
    assert error == ("invalid_client" if table == "clients" else "invalid_grant")


async def test_a_code_for_another_target_gives_a_jwt_of_its_own(browser: Browser) -> None:
    """RFC 8707 sections 2.1 and 2.2."""
    code = await browser.code(resource=ORDERS)
    answer = await redeem(browser.sts, code, resource=ORDERS)
    assert (answer.body["expires_in"], answer.body["scope"]) == (60, "add_order")
    principal = browser.sts.read(answer.body["access_token"], "order")
    assert (principal.sub, principal.client_id, principal.actors) == ("alice", "web", ())
    assert principal.sid


async def test_a_code_and_its_tokens_are_kept_as_digests_only(browser: Browser) -> None:
    code = await browser.code()
    body = (await redeem(browser.sts, code)).body
    tables = ("authorization_codes", "token_families", "refresh_tokens", "access_tokens", "sessions")

    def dump(transaction: object) -> str:
        return "".join(str(transaction.execute(f"SELECT * FROM {table}").rows) for table in tables)  # type: ignore[attr-defined] # noqa: S608

    text = await browser.sts.database.read(dump)
    secrets = (code, body["access_token"], body["refresh_token"], browser.cookie)
    assert not any(secret in text for secret in secrets)


async def test_fewer_scopes_may_be_asked_for_with_the_code(browser: Browser) -> None:
    code = await browser.code(scope="add_order cancel_order")
    first = await redeem(browser.sts, code, scope="add_order")
    assert first.body["scope"] == "add_order"
    form = {"grant_type": "refresh_token", "refresh_token": first.body["refresh_token"]}
    assert (await browser.sts.post(form, headers=SECRET)).body["scope"] == "add_order cancel_order"
