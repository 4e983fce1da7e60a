"""From the end of a user's session to the last use of what came of it: real processes, sockets and time."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest
import trio

from tests.browser import FROM_HERE, Page, query_of
from tests.contract.shop_setup import SESSION, Surfer
from tests.system.processes import PATIENCE
from tests.system.test_revocation import FORM, T_STREAM, Use, World, bearer, last_uses, opened, uses_of
from tests.system.test_web_session import surfing
from tests.system.visiting import CALLBACK, REQUEST, VERIFIER

Cookies = dict[str, str]


async def code(browser: Surfer) -> str:
    """Have a client ask for the user whom the browser has signed in, who agrees."""
    answer = await browser.follow(f"{browser.issuer}/oauth2/authorize?{urlencode(REQUEST)}", stop=CALLBACK)
    if "location" not in answer.headers:  # the first time
        page = Page(answer.content)
        form = urlencode({**page.fields, "decision": "allow"}).encode()
        await browser.send("POST", browser.issuer + page.action, [*FORM.items(), *FROM_HERE], form)
        return await code(browser)
    return parse_qs(query_of(answer.headers["location"]))["code"][0]


async def sign_in(world: World, user: str) -> tuple[Cookies, str]:
    """Sign a user in at the gateway, and at another client in the same browser; return its cookies and a code."""
    with trio.fail_after(PATIENCE):
        async with surfing(world.running, world.running.url("sts")) as browser:
            assert await browser.sign_in(user) == "/"
            return browser.cookies, await code(browser)


async def sign_out(world: World, cookies: Cookies) -> None:
    """Sign out as the shop does: at the gateway, and then at the token service."""
    with trio.fail_after(PATIENCE):
        async with surfing(world.running, world.running.url("sts")) as browser:
            browser.cookies = dict(cookies)
            answer = await browser.ask("POST", "/session/logout")
            assert answer.status == 200
            assert (await browser.follow(json.loads(answer.content)["location"])).status == 200


def uses_of_user(world: World, user: str) -> tuple[Cookies, dict[str, Use]]:
    """Return the cookies of a new browser, and a use of its session, of the client's token, and of what it gave."""
    cookies, code = trio.run(sign_in, world, user)
    form = {
        "grant_type": "authorization_code",
        "client_id": "shop",
        "redirect_uri": CALLBACK,
        "code": code,
        "code_verifier": VERIFIER,
    }
    token = json.loads(world.post("sts", "/oauth2/token", form))["access_token"]
    session = Use("gateway", "/api/order", ("cookie", f"{SESSION}={cookies[SESSION]}"))
    return cookies, {"session": session, **uses_of(world, token)}


@pytest.mark.slow
def test_a_logout_and_a_command_end_all_that_came_of_a_login_within_two_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found: dict[str, float] = {}
    with opened(tmp_path, "--processes") as world:
        command = world.running.command
        redirect = ("--redirect-uri", CALLBACK, "--scope", "openid", "--scope", "add_order")
        command("clients", "add", "shop", "--public", *redirect)
        for how, user in (("logout", "alice"), ("users disable", "bob"), ("tokens revoke-all", "alice")):
            cookies, uses = uses_of_user(world, user)
            if how == "logout":
                end = partial(trio.run, sign_out, world, cookies)
            elif how == "users disable":
                end = partial(command, "users", "disable", user)
            else:
                end = partial(command, "tokens", "revoke-all")
                uses["client's own"] = bearer("order", world.exchange(world.token()))
            for name, seconds in last_uses(world, uses, end, 10).items():
                found[f"{how}, {name}"] = seconds
    with capsys.disabled():
        shown = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in found.items())
        print(f"\nlast use, stream up: {shown}")  # noqa: T201
    assert max(found.values()) <= T_STREAM
    assert len(found) == 10
