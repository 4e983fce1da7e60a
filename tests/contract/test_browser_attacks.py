"""What other sites, other ports and other people try with a browser that is signed in; each beside what is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import trio

from ordermgmt.gateway.app import create_app
from ordermgmt.gateway.files import Files
from ordermgmt.gateway.operations import Forwarder
from ordermgmt.gateway.portal import Portal
from ordermgmt.net.outbound import Response
from ordermgmt.security.guard import Guard, Require
from tests.browser import Headers
from tests.contract.shop_setup import LOGIN, SESSION, open_shop, surfer
from tests.contract.test_gateway import record_requests

ORDER = {"name": "By web", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}


def routes() -> Iterator[tuple[str, str]]:
    """Yield method and path of every route of the gateway, with something in place of each parameter."""
    nothing = cast("Any", None)

    async def nobody(*_: object) -> Any:
        raise AssertionError

    portal = Portal("https://x", nothing, nothing, nothing, Files({}), nothing, nothing)
    guard = Guard(Require(), nobody, "gateway", authenticate_session=nobody)
    app = create_app(Forwarder({}, public_url="", timeout=1), portal, nothing, guard).app
    for rule in app.url_map.iter_rules():
        path = rule.rule
        for name in rule.arguments:
            path = path.replace(f"<{name}>", "x")
        for method in rule.methods or ():
            yield method, path


CHANGES = sorted((method, path) for method, path in routes() if method not in {"GET", "HEAD"})


def is_csrf(answer: Response) -> bool:
    return answer.status == 403 and msgspec.json.decode(answer.content)["type"] == "urn:ordermgmt:problem:csrf"


FORGED: dict[str, Headers] = {
    "a form": [],
    "a form that says so": [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
    "another origin": [("x-csrf", "1"), ("origin", "https://evil.example")],
    "another port": [("x-csrf", "1"), ("origin", "https://localhost:9445"), ("sec-fetch-site", "same-site")],
    "a sandbox": [("x-csrf", "1"), ("origin", "null"), ("sec-fetch-site", "cross-site")],
    "an origin that begins alike": [("x-csrf", "1"), ("origin", "https://localhost:8443.evil.example")],
    "another site": [("x-csrf", "1"), ("sec-fetch-site", "cross-site")],
    "the address bar": [("x-csrf", "1"), ("sec-fetch-site", "none")],
    "another value": [("x-csrf", "true"), ("sec-fetch-site", "same-origin")],
    "twice": [("x-csrf", "1"), ("x-csrf", "1")],
    "two origins": [("x-csrf", "1"), ("origin", "https://localhost:8443"), ("origin", "https://evil.example")],
}


async def test_no_other_site_changes_anything(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    assert len(CHANGES) == 2 * 6 + 1  # each change of the table, with a token and with a session, and the logout
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        await browser.sign_in("admin")
        for method, path in CHANGES:
            for name, headers in FORGED.items():
                answer = await browser.send(method, browser.origin + path, headers)
                if path.startswith(("/api", "/session")):
                    assert is_csrf(answer), (method, path, name)
                else:  # a cookie is nothing there
                    assert answer.status == 401, (method, path, name)
        assert (await browser.session())["signed_in"]
        for method, path in CHANGES:
            if path.startswith("/api"):
                answer = await browser.ask(method, path, ORDER)
                assert answer.status in {200, 201, 400, 404}, (method, path)
        assert (await browser.ask("POST", "/session/logout")).status == 200


async def test_what_has_no_route_is_looked_at_too(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        for method, path in (
            ("POST", "/api/new"),
            ("PUT", "/session"),
            ("OPTIONS", "/api/order"),
            ("POST", "/api"),
            ("POST", "//api/x"),
        ):
            assert is_csrf(await browser.send(method, browser.origin + path)), path
            assert (await browser.ask(method, path)).status in {404, 405}, path


async def test_a_session_gets_a_new_id_at_each_sign_in(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        planted = "A" * 43
        browser.cookies[SESSION] = planted
        await browser.sign_in("alice")
        first = browser.cookies[SESSION]
        assert first != planted
        await browser.sign_in("alice")
        second = browser.cookies[SESSION]
        assert second != first
        for cookie, status in ((planted, 401), (first, 401), (second, 200)):
            answer = await browser.get("/api/order", [("cookie", f"{SESSION}={cookie}")])
            assert answer.status == status


AWAY = [
    "https://evil.example/",
    "//evil.example/",
    "/%5Cevil.example/",
    "/%09/evil.example/",
    "/%0a/evil.example",
    "%5C%5Cevil.example",
    "evil.example",
    "javascript:alert(1)",
    "",
    "/%E2%80%A8x",
    "/" + "x" * 2048,
    "/&return_to=/two",
]


async def test_nobody_is_sent_away_after_a_sign_in(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        for return_to in AWAY:
            answer = await browser.get(f"/session/login?return_to={return_to}")
            assert answer.status == 400, return_to
            assert LOGIN not in browser.cookies
        assert (await browser.get("/session/login?return_to=/a%3Fb%3Dhttps://x//y%23z")).status == 303
        assert LOGIN in browser.cookies


async def test_an_answer_counts_once(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        back = await browser.begin("alice")
        login = browser.cookies[LOGIN]
        assert (await browser.send("HEAD", back)).status == 405  # looking does not use it up
        assert (await browser.send("GET", back)).status == 200
        session = browser.cookies[SESSION]
        browser.cookies[LOGIN] = login
        again = await browser.send("GET", back)
        assert (again.status, b"Try again" in again.content) == (400, True)
        assert browser.cookies[SESSION] == session
        assert (await browser.ask("POST", "/api/order", ORDER)).status == 201  # its tokens were not touched by it


async def test_an_answer_counts_in_the_browser_that_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    async with open_shop(tmp_path) as system:
        attacker, victim = await surfer(system), await surfer(system)
        back = await attacker.begin("bob")
        sent = record_requests(monkeypatch)
        for login in ("", "B" * 43, "short"):
            victim.cookies = {LOGIN: login} if login else {}
            assert (await victim.send("GET", back)).status == 400
            assert await victim.session() == {"signed_in": False}
        await victim.get("/session/login")  # its own login, but not this answer
        assert (await victim.send("GET", back)).status == 400
        assert [target for _, target, _ in sent if target == "/oauth2/token"] == []  # the code went nowhere
        assert (await attacker.send("GET", back)).status == 200
        assert (await attacker.session())["user"]["sub"] == "bob"


async def test_a_code_of_another_login_is_refused(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        attacker, victim = await surfer(system), await surfer(system)
        stolen, own = await attacker.begin("bob"), await victim.begin("alice")
        code = stolen.partition("code=")[2].partition("&")[0]
        mine = own.partition("code=")[2].partition("&")[0]
        assert (await victim.send("GET", own.replace(mine, code))).status == 400
        assert await victim.session() == {"signed_in": False}
        again = await victim.begin("alice")
        assert (await victim.send("GET", again)).status == 200


async def test_an_answer_names_its_issuer(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        for change in ("another", "none", "two"):
            back = await browser.begin("alice")
            head, _, issuer = back.partition("&iss=")
            changed = {
                "another": f"{head}&iss=https%3A%2F%2Fevil.example",
                "none": head,
                "two": f"{back}&iss={issuer}",
            }[change]
            assert (await browser.send("GET", changed)).status == 400, change
            assert await browser.session() == {"signed_in": False}
        assert (await browser.send("GET", await browser.begin("alice"))).status == 200


async def test_cookies_that_somebody_tossed(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser, other = await surfer(system), await surfer(system)
        await browser.sign_in("alice")
        await other.sign_in("bob")
        good, theirs = browser.cookies[SESSION], other.cookies[SESSION]
        tossed = {
            f"{SESSION}={good}": 200,
            f"a=b; {SESSION}={good}; __Host-sts-session=x": 200,
            f"{SESSION}={good}; {SESSION}={theirs}": 401,
            f"{SESSION}={theirs}; {SESSION}={good}": 401,
            f"{SESSION}={good}; {SESSION}=": 401,
            f"gateway-session={good}": 401,
            f"__Secure-gateway-session={good}": 401,
            f"__host-gateway-session={good}": 401,
            f'{SESSION}="{good}"': 401,
            f"{SESSION}={good}x": 401,
            f"{SESSION}=": 401,
            "": 401,
        }
        for cookie, status in tossed.items():
            answer = await browser.get("/api/order", [("cookie", cookie)])
            assert answer.status == status, cookie
        twice = [("cookie", f"{SESSION}={good}"), ("cookie", f"{SESSION}={theirs}")]
        assert (await browser.get("/api/order", twice)).status == 401
