"""What somebody gets out of a session who should not: caches, other paths, other people's names, after its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from ordermgmt.errors import Unavailable
from ordermgmt.gateway import session_store
from ordermgmt.gateway.provider import Provider
from ordermgmt.sts.main import open_accounts
from ordermgmt.testing.harness import RunningSystem
from tests.browser import Headers
from tests.contract.shop_setup import OWN, SESSION, open_shop, surfer
from tests.contract.test_gateway import FOUND_OUT, record_requests

ORDER = {"name": "By web", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}


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


@pytest.mark.slow
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


async def test_without_a_provider_a_session_ends_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    async def not_found(_: Provider) -> Any:
        raise Unavailable("provider-unreachable", retry_after=1)

    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        with monkeypatch.context() as broken:
            broken.setattr(Provider, "connected", not_found)
            copy = dict(browser.cookies)
            answer = await browser.ask("POST", "/session/logout")
        assert (answer.status, msgspec.json.decode(answer.content)) == (200, {"location": f"{browser.origin}/"})
        browser.cookies = copy
        assert await browser.session() == {"signed_in": False}


async def test_too_many_logins_are_told_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    monkeypatch.setattr(session_store, "MAX_LOGINS", 2)
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        begun = [await browser.get("/session/login") for _ in range(3)]
        assert [answer.status for answer in begun] == [303, 303, 503]
        assert begun[-1].headers["retry-after"] == "10"
        await trio.sleep(600)
        assert (await browser.get("/session/login")).status == 303


async def test_pages_at_the_default_port_may_change_something(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """Browsers send the origin without it."""
    async with open_shop(tmp_path, public_url="https://localhost:443") as system:
        browser = await surfer(system)
        for origin, status in (("https://localhost", 401), ("https://localhost:8443", 403)):
            answer = await browser.send("POST", f"{browser.origin}/api/order", [*OWN, ("origin", origin)])
            assert answer.status == status


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
