"""A provider that is not the suite's own signs users in: known by its URL, on another site, with a secret."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import trio

from ordermgmt.errors import StartError
from ordermgmt.sts import account_store
from ordermgmt.sts.main import open_accounts
from ordermgmt.sts.registration import Client
from ordermgmt.testing.harness import RunningSystem
from tests.browser import FROM_HERE, Page
from tests.contract.shop_setup import LOGIN, SESSION, Surfer, open_shop, surfer

SECRET = "s" * 43
ISSUER = "https://localhost:9445"
"""The STS, as if it were somebody else's: over its public listener, by its host name."""


def foreign(folder: Path) -> dict[str, Any]:
    """Return the settings of the gateway that name the provider."""
    (folder / "secret").write_text(f"{SECRET}\n")
    return {
        "issuer": ISSUER,
        "client_id": "orders",
        "client_secret_file": str(folder / "secret"),
        "scopes": ("openid", "profile", "add_order"),
    }


async def register(system: RunningSystem) -> None:
    client = Client(
        "orders",
        grants=frozenset({"authorization_code", "refresh_token"}),
        scopes=frozenset({"openid", "profile", "add_order"}),
        default_audience="gateway",
        secret_digest=hashlib.sha256(SECRET.encode()).hexdigest(),
        redirect_uris=frozenset({f"{system.suite.endpoints.gateway_url}/session/callback"}),
        post_logout_redirect_uris=frozenset({f"{system.suite.endpoints.gateway_url}/"}),
    )
    async with open_accounts(system.location("sts"), system.runtime) as accounts:
        assert await accounts._database.write(lambda transaction: account_store.add_client(transaction, client))


async def consent(browser: Surfer, url: str) -> str:
    """Let the gateway have what it asks for, and return where the browser is sent then."""
    page = Page((await browser.follow(url)).content)
    form = {**page.fields, "decision": "allow"}
    headers = [("content-type", "application/x-www-form-urlencoded"), *FROM_HERE]
    done = await browser.send("POST", ISSUER + page.action, headers, urlencode(form).encode())
    return done.headers["location"]


async def hops_to_the_provider(browser: Surfer) -> list[tuple[str, dict[str, str | None]]]:
    """Return what the path of a request tells of it: it has shown no name of a service of the suite's."""
    listed = await browser.get("/api/order")
    path = json.loads((await browser.get(f"/api/path/{listed.headers['x-request-id']}")).content)
    return [(hop["to"], hop["identities"]) for hop in path["hops"] if hop["token"] and hop["token"]["kind"] == "opaque"]


async def test_its_answer_needs_the_lax_cookie_and_not_the_strict_one(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with open_shop(tmp_path, **foreign(tmp_path)) as system:
        await register(system)
        browser = await surfer(system)
        back = await consent(browser, ISSUER + (await browser.begin("alice")).removeprefix(ISSUER))
        assert back.startswith(f"{browser.origin}/session/callback")
        answer = await browser.send("GET", back, cross_site=True)
        assert answer.status == 200  # a page, and no redirect: that would go on without the Strict cookie
        assert "location" not in answer.headers
        first = browser.cookies[SESSION]
        assert (await browser.session())["user"]["name"] == "Alice"
        back = await browser.begin("alice")  # from a page of ours, with the Strict cookie
        assert {SESSION} == browser.strict
        assert LOGIN in browser.cookies
        assert (await browser.send("GET", back, cross_site=True)).status == 200
        assert browser.cookies[SESSION] != first
        assert await hops_to_the_provider(browser) == [("provider", {"client": None, "server": None})]
        old = await browser.get("/session", [("cookie", f"{SESSION}={first}")])
        assert old.content == b'{"signed_in":false}'  # it was replaced although the answer did not carry it
        without = await surfer(system)
        without.cookies = {SESSION: browser.cookies[SESSION]}
        back = await browser.begin("alice")
        assert (await without.send("GET", back)).status == 400  # the Strict one alone will not do


async def test_what_the_suites_own_sts_revokes_is_not_about_its_sessions(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    """It is the same STS here, so the id of the session is one that its stream tells."""
    async with (
        open_shop(tmp_path, **foreign(tmp_path)) as system,
        open_accounts(system.location("sts"), system.runtime) as accounts,
    ):
        await register(system)
        browser = await surfer(system)
        back = await consent(browser, ISSUER + (await browser.begin("alice")).removeprefix(ISSUER))
        assert (await browser.send("GET", back, cross_site=True)).status == 200
        await accounts.disable_user("alice")
        await trio.sleep(5)
        assert (await browser.session())["signed_in"] is True


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"issuer": "http://id.example", "client_secret_file": "SECRET"}, "gateway.issuer"),
        ({"issuer": "https://id.example"}, "gateway.client_secret_file"),
        ({"client_secret_file": "nowhere"}, "gateway.client_secret_file: cannot read nowhere"),
    ],
)
async def test_a_setting_that_cannot_be_right_stops_the_start(
    settings: dict[str, str], named: str, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    changed = {name: value.replace("SECRET", str(tmp_path / "secret")) for name, value in settings.items()}
    with pytest.RaisesGroup(pytest.RaisesExc(StartError, match=named), flatten_subgroups=True):
        async with open_shop(tmp_path, **changed):
            pass
