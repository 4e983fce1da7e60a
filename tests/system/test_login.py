"""A user who was added while the suite runs logs in over real sockets, and is out when it is disabled."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest
import trio

from tests.browser import query_of
from tests.system.processes import SuiteProcess, suite
from tests.system.visiting import CALLBACK, REQUEST, VERIFIER, open_browser

BOOK = {"category": "books", "code": "978-1484220498", "qty": 1}


@pytest.mark.slow
def test_a_user_who_was_added_logs_in_and_is_out_when_it_is_disabled(tmp_path: Path) -> None:
    with suite(tmp_path) as running:
        password = running.command("users", "add", "carol", "--scope", "add_order", "--generate").strip()
        redirect = ("--redirect-uri", CALLBACK, "--scope", "openid", "--scope", "add_order")
        assert running.command("clients", "add", "shop", "--public", *redirect) == "client shop added\n"
        token = trio.run(log_in, running, password)
        order = json.dumps(
            {"id": "1", "name": "One", "items": [{"category": "books", "code": "978-1484220498", "qty": 1}]}
        )
        headers = ("--header", f"Authorization: Bearer {token}", "--header", "Content-Type: application/json")
        assert running.curl(*headers, "--data", order, running.url("gateway", "/order"))[0] == 201
        userinfo = running.url("sts", "/oauth2/userinfo")
        assert json.loads(running.curl(*headers[:2], userinfo)[1])["sub"] == "carol"
        running.command("users", "disable", "carol")
        assert running.curl(*headers[:2], userinfo)[0] == 401
        assert password not in running.log
        assert running.stop() == 0


async def log_in(running: SuiteProcess, password: str) -> str:
    """Go from the client's request to its access token."""
    browser = open_browser(running)
    login = await browser.get(f"/oauth2/authorize?{urlencode(REQUEST)}")
    assert (await browser.submit(login, username="carol", password="wrong")).answer.status == 422
    consent = await browser.submit(login, username="carol", password=password)
    done = await browser.submit(consent, decision="allow")
    form = {
        "grant_type": "authorization_code",
        "client_id": "shop",
        "redirect_uri": CALLBACK,
        "code": parse_qs(query_of(done.url))["code"][0],
        "code_verifier": VERIFIER,
    }
    status, body = running.curl("--data", urlencode(form), running.url("sts", "/oauth2/token"))
    assert status == 200, body
    return str(json.loads(body)["access_token"])
