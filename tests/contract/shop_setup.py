"""The whole suite, and browsers that sign in at the gateway: each keeps the cookies of one host, whatever the port."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from ordermgmt.config import Config
from ordermgmt.net.outbound import HttpClient, Response
from ordermgmt.testing.harness import RunningSystem, running_system
from tests.browser import FROM_HERE, Headers, Page

OWN = [("x-csrf", "1"), ("sec-fetch-site", "same-origin")]
"""What the pages of the gateway say with all that changes something; `origin` comes with it."""
SESSION, LOGIN = "__Host-gateway-session", "__Host-gateway-login"
_NEXT_COOKIE = re.compile(r", (?=__Host-)")
_REFRESH = re.compile(r"0;url=(.*)", re.DOTALL)


@dataclass
class Surfer:
    """A browser in front of the gateway and the STS, which share a site but not an origin."""

    origin: str
    """Of the gateway."""
    issuer: str
    data: Path
    """Where the passwords of the demo users are."""
    gateway: HttpClient
    sts: HttpClient
    cookies: dict[str, str] = field(default_factory=dict)
    strict: set[str] = field(default_factory=set)
    """Names of cookies that other sites' requests do not carry."""
    jar: list[str] = field(default_factory=list)
    """Every Set-Cookie that came."""
    passed: list[str] = field(default_factory=list)
    """Every URL that was asked for."""

    async def send(
        self, method: str, url: str, headers: Headers | None = None, content: bytes = b"", *, cross_site: bool = False
    ) -> Response:
        """Send one request, with the cookies that a browser would send, and keep those that come."""
        self.passed.append(url)
        parts = urlsplit(url)
        client = self.gateway if url.startswith(f"{self.origin}/") else self.sts
        kept = {name: value for name, value in self.cookies.items() if not (cross_site and name in self.strict)}
        sent = list(headers or [])
        if kept and "cookie" not in dict(sent):
            sent.append(("cookie", "; ".join(f"{name}={value}" for name, value in kept.items())))
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        answer = await client.request(method, target, headers=sent, content=content)
        self._keep(answer.headers.get("set-cookie", ""))
        return answer

    async def get(self, path: str, headers: Headers | None = None) -> Response:
        """Get a path of the gateway, as a page of it does."""
        return await self.send("GET", self.origin + path, headers)

    async def ask(self, method: str, path: str, json: object = None, headers: Headers | None = None) -> Response:
        """Send what changes something, as a page of the gateway does."""
        sent = [*OWN, ("origin", self.origin), *(headers or [])]
        content = b""
        if json is not None:
            sent.append(("content-type", "application/json"))
            content = msgspec.json.encode(json)
        return await self.send(method, self.origin + path, sent, content)

    async def follow(self, url: str, *, stop: str = "nowhere") -> Response:
        """Go to a URL, and on by redirects, until there is a page, or one that begins with `stop` is next."""
        for _ in range(6):
            answer = await self.send("GET", url)
            location = answer.headers.get("location")
            if location is None or location.startswith(stop):
                return answer
            assert answer.status == 303
            url = location if "//" in location else self.issuer + location
        msg = "too many redirects"
        raise AssertionError(msg)

    async def begin(self, user: str = "alice", return_to: str = "/") -> str:
        """Sign in until the STS sends the browser back, and return where to."""
        callback = f"{self.origin}/session/callback"
        login = await self.follow(f"{self.origin}/session/login?return_to={return_to}", stop=callback)
        if "location" in login.headers:  # the STS knows the user already
            return login.headers["location"]
        assert login.status == 200, login.content
        page = Page(login.content)
        form = {**page.fields, "username": user, "password": self.password(user)}
        action = self.issuer + page.action
        content_type = ("content-type", "application/x-www-form-urlencoded")
        done = await self.send("POST", action, [content_type, *FROM_HERE], urlencode(form).encode())
        assert done.status == 303, done.content
        return done.headers["location"]

    async def sign_in(self, user: str = "alice", return_to: str = "/") -> str:
        """Sign in, and return where the browser is sent then."""
        back = await self.begin(user, return_to)
        answer = await self.send("GET", back)
        assert answer.status == 200, answer.content
        (refresh,) = [meta for meta in Page(answer.content).all("meta") if meta.get("http-equiv") == "refresh"]
        found = _REFRESH.fullmatch(str(refresh["content"]))
        assert found is not None
        return found[1]

    async def session(self) -> dict[str, Any]:
        """Return what the gateway says of the session."""
        answer = await self.get("/session")
        assert answer.status == 200
        found: dict[str, Any] = msgspec.json.decode(answer.content)
        return found

    def password(self, user: str) -> str:
        """Return the password of a demo user."""
        for line in (self.data / "demo-credentials").read_text().splitlines():
            kind, name, secret = line.split(" ")
            if (kind, name) == ("user", user):
                return secret
        raise KeyError(user)

    def _keep(self, header: str) -> None:
        for line in filter(None, _NEXT_COOKIE.split(header)):
            self.jar.append(line)
            pair, *attributes = line.split("; ")
            name, _, value = pair.partition("=")
            if "SameSite=Strict" in attributes:
                self.strict.add(name)
            if "Max-Age=0" in attributes:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value


async def surfer(system: RunningSystem) -> Surfer:
    """Return a browser that was never here."""
    endpoints = system.suite.endpoints
    gateway, sts = await system.client("gateway"), await system.client("sts")
    return Surfer(endpoints.gateway_url, endpoints.issuer, system.data, gateway, sts)


@asynccontextmanager
async def open_shop(folder: Path, **settings: Any) -> AsyncIterator[RunningSystem]:
    """Run the suite with these settings of the gateway."""
    config = Config()
    gateway = msgspec.structs.replace(config.gateway, **settings)
    async with running_system(folder, config=msgspec.structs.replace(config, gateway=gateway)) as system:
        yield system
