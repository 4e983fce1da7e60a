"""What other sites, other ports and other people try with a browser that is signed in; each beside what is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import trio

from ordermgmt.errors import Unavailable
from ordermgmt.gateway import session_store
from ordermgmt.gateway.app import create_app
from ordermgmt.gateway.files import Files
from ordermgmt.gateway.operations import Forwarder
from ordermgmt.gateway.portal import Portal
from ordermgmt.net.outbound import Response
from ordermgmt.security.guard import Guard, Require
from ordermgmt.sts.main import open_accounts
from ordermgmt.testing.harness import RunningSystem
from tests.browser import Headers
from tests.contract.shop_setup import LOGIN, SESSION, open_shop, surfer
from tests.contract.test_gateway import FOUND_OUT, record_requests

ORDER = {"name": "By web", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}


def routes() -> Iterator[tuple[str, str]]:
    """Yield method and path of every route of the gateway, with something in place of each parameter."""
    nothing = cast("Any", None)

    async def nobody(*_: object) -> Any:
        raise AssertionError

    portal = Portal("https://x", nothing, nothing, nothing, Files({}), nothing)
    guard = Guard(Require(), nobody, "gateway", authenticate_session=nobody)
    app = create_app(Forwarder({}, public_url="", timeout=1), portal, guard)
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
    assert len(CHANGES) == 2 * 4 + 1  # each change of the table, with a token and with a session, and the logout
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
                assert answer.status in {201, 400, 404}, (method, path)
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


async def test_nothing_private_is_kept_by_anybody(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        assert (await browser.get("/session")).headers["cache-control"] == "no-store"
        back = await browser.begin("alice")
        private = [await browser.send("GET", back), await browser.ask("POST", "/api/order", {"id": "p", **ORDER})]
        paths = ("/session", "/api/order", "/api/order/p", "/api/inventory", "/api/order/none", "/api/none")
        private += [await browser.get(path) for path in paths]
        etag = (await browser.get("/api/order/p")).headers["etag"]
        private.append(await browser.get("/api/order/p", [("if-none-match", etag)]))
        assert private[-1].status == 304
        private.append(await browser.ask("POST", "/session/logout"))
        private.append(await browser.get("/api/order/p", [("if-none-match", etag)]))
        assert private[-1].status == 401
        assert private[-1].content == b""
        assert not private[-1].headers["www-authenticate"].lower().startswith(("basic", "digest", "negotiate"))
        for answer in private:
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_every_answer_of_the_api_has_a_request_id(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        answers = [await browser.get("/api/order"), await browser.get("/api/none"), await browser.ask("POST", "/api/x")]
        answers.append(await browser.send("POST", f"{browser.origin}/api/order"))
        await browser.sign_in("alice")
        answers.append(await browser.get("/api/order"))
        assert [answer.status for answer in answers] == [401, 404, 404, 403, 200]
        assert len({answer.headers["x-request-id"] for answer in answers}) == 5


async def send_raw(system: RunningSystem, target: str, cookie: str) -> bytes:
    stream = await system.open_stream("gateway")
    head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nCookie: {SESSION}={cookie}\r\nConnection: close\r\n\r\n"
    await stream.send_all(head.encode())
    with trio.fail_after(10):
        return bytes(await stream.receive_some())


async def test_no_path_leads_out_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        await browser.sign_in("admin")
        cookie = browser.cookies[SESSION]
        sent = record_requests(monkeypatch)
        for target in (
            "/api/order/../inventory",
            "/api/order/%2e%2e/inventory",
            "/api/order/..%2finventory",
            "/api/order/x%2f..%2f..%2finventory",
            "/api/order/%2e%2e%2finventory%2foperations",
            "/api//order",
            "/api/order/",
            "/api/order/a%00b",
            "/api/order/a%3fb",
            "/api/order/a%0d%0aX:%20y",
            "/api/inventory/operations/../../order",
            "/api/api/order",
            "/api/oauth2/token",
            "/api/healthz",
        ):
            answer = await send_raw(system, target, cookie)
            assert answer.startswith(b"HTTP/1.1 404 "), (target, answer)
        for target in ("https://evil.example/api/order", "http://169.254.169.254/api/order"):
            answer = await send_raw(system, target, cookie)
            assert not answer.startswith(b"HTTP/1.1 5"), (target, answer)
        went = [target for _, target, _ in sent if target not in FOUND_OUT and not target.startswith("/oauth2/token")]
        assert set(went) <= {"/order"}  # an absolute-form target is its path (RFC 9112 section 3.2.2), and no address
        assert (await send_raw(system, "/api/order", cookie)).startswith(b"HTTP/1.1 200 ")


async def test_what_a_client_says_of_itself_goes_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        admin = await system.token("admin-app")
        forged: Headers = [("authorization", f"Bearer {admin}"), ("x-user", "admin"), ("forwarded", "for=1.2.3.4")]
        sent = record_requests(monkeypatch)
        assert (await browser.ask("POST", "/api/order", {"id": "f", **ORDER}, forged)).status == 201
        ((_, _, headers),) = [request for request in sent[1:] if request[:2] == ("POST", "/order")]
        assert {name for name, _ in headers} == {"accept", "content-type", "authorization"}
        assert not any(admin in value for _, value in headers)
        history = msgspec.json.decode((await browser.get("/api/order/f/history")).content)
        assert "alice" in str(history)
        assert (await browser.get("/api/order", [*forged, ("cookie", "x=y")])).status == 401


async def test_huge_cookies(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        good = f"{SESSION}={browser.cookies[SESSION]}"
        assert (await browser.get("/api/order", [("cookie", f"x={'y' * 4000}; {good}")])).status == 200
        assert (await browser.get("/api/order", [("cookie", f"{SESSION}={'y' * 4000}")])).status == 401
        assert (await browser.get("/api/order", [("cookie", f"x={'y' * 100_000}; {good}")])).status in {400, 431}
        assert (await browser.get("/api/order")).status == 200


async def test_a_session_ends_with_its_user(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser, other = await surfer(system), await surfer(system)
        await browser.sign_in("alice")
        await other.sign_in("bob")
        assert (await browser.get("/api/order")).status == 200
        async with open_accounts(system.location("sts"), system.runtime) as accounts:
            await accounts.disable_user("alice")
        await trio.sleep(61)  # as long as a token that was exchanged before
        assert (await browser.get("/api/order")).status == 401
        assert await browser.session() == {"signed_in": False}
        assert (await other.get("/api/order")).status == 200


async def test_a_session_ends_unused_and_after_a_day_of_use(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path, session_idle_lifetime=600, session_lifetime=3000) as system:
        used, unused = await surfer(system), await surfer(system)
        await used.sign_in("alice")
        await unused.sign_in("bob")
        began = system.runtime.clock.now()
        ends = [(await used.session())[name] - began for name in ("idle_until", "ends_at")]
        assert ends == [pytest.approx(600, abs=2), pytest.approx(3000, abs=2)]
        for _ in range(5):
            await trio.sleep(590)
            assert (await used.get("/api/order")).status == 200
            await unused.session()  # looking is not using
        assert (await unused.get("/api/order")).status == 401
        await trio.sleep(60)
        assert (await used.get("/api/order")).status == 401
        assert await used.session() == {"signed_in": False}


async def test_while_the_database_is_away_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise Unavailable("storage-unavailable", "the database cannot be used", retry_after=1)

    async with open_shop(tmp_path) as system:
        browser, other = await surfer(system), await surfer(system)
        await browser.sign_in("alice")
        back = await other.begin("bob")
        with monkeypatch.context() as broken:
            for name in ("find_session", "end_session", "take_login", "add_login"):
                broken.setattr(session_store, name, fail)
            answers = [
                await browser.get("/session"),
                await browser.get("/api/order"),
                await browser.ask("POST", "/session/logout"),
                await other.send("GET", back),
                await other.get("/session/login"),
            ]
            assert [answer.status for answer in answers] == [503] * 5
            assert all(answer.headers["retry-after"] == "1" for answer in answers)
        assert (await browser.get("/api/order")).status == 200
        assert (await other.send("GET", back)).status == 200  # the page loaded again


async def test_cookies_are_for_this_host_alone_and_no_script(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        await browser.ask("POST", "/session/logout")
        own = [line for line in browser.jar if line.startswith("__Host-gateway")]
        assert len(own) == 5
        for line in own:
            name, *attributes = line.split("; ")
            site = "Strict" if name.startswith(SESSION) else "Lax"
            assert {"Secure", "HttpOnly", "Path=/", f"SameSite={site}"} <= set(attributes)
            assert not [attribute for attribute in attributes if attribute.startswith("Domain")]


async def test_the_tokens_are_nowhere_but_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        seen = b"".join([(await browser.get(path)).content for path in ("/session", "/api/order", "/")])
        assert b"oma_" not in seen + str(browser.jar).encode()
        assert not any("oma_" in url or "omr_" in url for url in browser.passed)
        if isinstance(location := system.location("gateway"), Path):
            kept = b"".join(path.read_bytes() for path in location.parent.glob("gateway.sqlite*"))
            assert b"alice" in kept
            assert b"oma_" not in kept
            assert b"omr_" not in kept
            assert browser.cookies[SESSION].encode() not in kept
