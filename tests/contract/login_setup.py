"""The suite with one web client of its own, and browsers to log in with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import msgspec
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from ordermgmt.sts.contract import AUTHORIZE_PATH
from ordermgmt.sts.main import open_accounts
from ordermgmt.sts.registration import Client
from ordermgmt.testing.harness import RunningSystem, running_system
from tests.browser import Answer, Browser, Headers, Visit, query_of

CALLBACK = "https://shop.example/callback"
GOODBYE = "https://shop.example/goodbye"
VERIFIER = "v" * 43
CLIENT = Client(
    "spa",
    grants=frozenset({"authorization_code", "refresh_token"}),
    scopes=frozenset({"openid", "profile", "add_order", "cancel_order"}),
    default_audience="gateway",
    public=True,
    name='The "<Shop>"',
    redirect_uris=frozenset({CALLBACK}),
    post_logout_redirect_uris=frozenset({GOODBYE}),
)


@dataclass
class Portal:
    system: RunningSystem

    def browser(self) -> Browser:
        """Return a browser that was never here."""

        async def send(method: str, target: str, headers: Headers, body: bytes) -> Answer:
            client = await self.system.client("sts")
            answer = await client.request(method, target, headers=headers, content=body)
            return Answer(answer.status, answer.headers, answer.content)

        return Browser(self.system.suite.endpoints.issuer, send)

    def password(self, user: str) -> str:
        """Return the password of a demo user."""
        for line in (self.system.data / "demo-credentials").read_text().splitlines():
            kind, name, secret = line.split(" ")
            if (kind, name) == ("user", user):
                return secret
        raise KeyError(user)

    def request(self, **changes: str) -> str:
        """Return where the client sends its users."""
        parameters = {
            "response_type": "code",
            "client_id": CLIENT.id,
            "redirect_uri": CALLBACK,
            "scope": "openid add_order",
            "state": "s-1",
            "nonce": "n-1",
            "code_challenge": create_s256_code_challenge(VERIFIER),
            "code_challenge_method": "S256",
        }
        return f"{AUTHORIZE_PATH}?{urlencode(parameters | changes)}"

    async def log_in(self, browser: Browser, user: str = "alice", **changes: str) -> Visit:
        """Begin a request, and log in for it."""
        page = await browser.get(self.request(**changes))
        return await browser.submit(page, username=user, password=self.password(user))

    async def redeem(self, visit: Visit) -> dict[str, Any]:
        """Return the tokens for the code that a browser was sent away with."""
        form = {
            "grant_type": "authorization_code",
            "client_id": CLIENT.id,
            "redirect_uri": CALLBACK,
            "code": parse_qs(query_of(visit.url))["code"][0],
            "code_verifier": VERIFIER,
        }
        answer = await self.system.token_request(form)
        assert answer.status == 200, answer.content
        tokens: dict[str, Any] = msgspec.json.decode(answer.content)
        return tokens

    async def tokens(self, browser: Browser, user: str = "alice") -> dict[str, Any]:
        """Go all the way."""
        page = await self.log_in(browser, user)
        if not page.url.startswith(CALLBACK):
            page = await browser.submit(page, decision="allow")
        return await self.redeem(page)

    async def is_alive(self, token: str) -> bool:
        """Tell whether an access token is good for anything."""
        answer = await self.system.request("sts", "GET", "/oauth2/userinfo", token=token)
        assert answer.status in {200, 401}
        return answer.status == 200


@asynccontextmanager
async def open_portal(folder: Path) -> AsyncIterator[Portal]:
    """Run the token service with the client."""
    async with running_system(folder, services=["sts"]) as system:
        async with open_accounts(system.location("sts"), system.runtime) as accounts:
            await accounts.add_client(CLIENT)
        yield Portal(system)
