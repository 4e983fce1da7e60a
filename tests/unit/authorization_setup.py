"""Clients with users, and a browser in which those log in, for tests of the authorization endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from ordermgmt.storage import Location
from ordermgmt.sts.contract import AUTHORIZE_PATH, INTROSPECT_PATH, REVOKE_PATH, SESSION_COOKIE, USERINFO_PATH
from ordermgmt.sts.mint import token_digest
from ordermgmt.sts.registration import Client
from ordermgmt.sts.rules import Rules
from ordermgmt.threads import Threads
from tests.unit.sts_setup import RULES, Answer, Sts, basic, open_sts

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
"""A pair of RFC 7636 appendix B."""
CALLBACK = "https://web.test/cb"
WEB = Client(
    "web",
    grants=frozenset({"authorization_code", "refresh_token", "client_credentials"}),
    scopes=frozenset({"add_order", "cancel_order", "openid", "profile"}),
    targets=frozenset({"order"}),
    default_audience="gateway",
    secret_digest=token_digest("secret-of-web"),
    name="The Shop",
    redirect_uris=frozenset({CALLBACK, "https://web.test/cb?tenant=1", "http://127.0.0.1/cb"}),
)
OTHER = Client(
    "other",
    grants=frozenset({"authorization_code", "refresh_token"}),
    scopes=frozenset({"add_order"}),
    default_audience="gateway",
    secret_digest=token_digest("secret-of-other"),
    redirect_uris=frozenset({"https://other.test/cb"}),
)
SPA = Client(
    "spa",
    grants=frozenset({"authorization_code", "refresh_token"}),
    scopes=frozenset({"add_order", "openid"}),
    default_audience="gateway",
    public=True,
    redirect_uris=frozenset({"https://spa.test/cb", "http://127.0.0.1/cb", "http://[::1]:1/cb?x=1"}),
)
ONCE = Client(
    "once",
    grants=frozenset({"authorization_code"}),
    scopes=frozenset({"add_order"}),
    default_audience="gateway",
    public=True,
    redirect_uris=frozenset({"https://once.test/cb"}),
)
CLIENTS = (WEB, OTHER, SPA, ONCE)
SECRET = [basic("web", "secret-of-web")]
REQUEST: Mapping[str, str] = {
    "response_type": "code",
    "client_id": "web",
    "redirect_uri": CALLBACK,
    "scope": "openid add_order",
    "state": "st ate&=",
    "nonce": "n-1",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


@dataclass(frozen=True)
class Arrival:
    """Where the browser was sent."""

    url: str
    parameters: Mapping[str, str]


@dataclass
class Browser:
    sts: Sts
    cookie: str = ""

    async def login(self, user: str = "alice") -> None:
        self.cookie = await self.sts.sessions.open_session(user, self.cookie)

    async def logout(self) -> None:
        assert await self.sts.sessions.end_session(self.cookie) is not None

    async def send(self, *more: tuple[str, str], **changes: str) -> Answer:
        """Send an authorization request: REQUEST with `changes`, those without a value left out, and `more`."""
        pairs = [(name, value) for name, value in {**REQUEST, **changes}.items() if value] + list(more)
        return await self.sts.get(f"{AUTHORIZE_PATH}?{urlencode(pairs)}", self._headers())

    async def authorize(self, *more: tuple[str, str], **changes: str) -> Arrival:
        """Do that, and return where it leads."""
        answer = await self.send(*more, **changes)
        assert answer.status == 303, answer.body
        return arrival(answer.headers["location"])

    async def consent(self, page: Arrival) -> Arrival:
        """Agree on the consent page."""
        session = await self.sts.sessions.find_session(self.cookie)
        assert session is not None
        await self.sts.authorizations.grant_consent(page.parameters["request"], session)
        return await self.go_on(page)

    async def go_on(self, page: Arrival) -> Arrival:
        session = await self.sts.sessions.find_session(self.cookie)
        return arrival(await self.sts.authorizations.continue_authorization(page.parameters["request"], session))

    async def code(self, **changes: str) -> str:
        """Go all the way from a request to its code."""
        if not self.cookie:
            await self.login()
        reached = await self.authorize(**changes)
        if reached.url.endswith("/consent"):
            reached = await self.consent(reached)
        return reached.parameters["code"]

    async def tokens(self, **changes: str) -> Any:
        """Go all the way to the tokens of the client web."""
        answer = await redeem(self.sts, await self.code(**changes))
        assert answer.status == 200, answer.body
        return answer.body

    def _headers(self) -> list[tuple[str, str]]:
        return [("cookie", f"{SESSION_COOKIE}={self.cookie}")] if self.cookie else []


def arrival(location: str) -> Arrival:
    url, _, query = location.partition("?")
    return Arrival(url, dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)))


def redemption(code: str, **changes: str) -> dict[str, str]:
    """Return the form with which web uses a code."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    return form | changes


async def redeem(sts: Sts, code: str, **changes: str) -> Answer:
    return await sts.post(redemption(code, **changes), headers=SECRET)


async def refresh(sts: Sts, token: str, **changes: str) -> Answer:
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return await sts.post(form | changes, headers=SECRET)


async def introspect(sts: Sts, token: str, client: str = "web") -> Any:
    answer = await sts.post({"token": token}, headers=[basic(client, f"secret-of-{client}")], path=INTROSPECT_PATH)
    assert answer.status == 200
    return answer.body


async def revoke(sts: Sts, token: str, client: str = "web") -> Answer:
    return await sts.post({"token": token}, headers=[basic(client, f"secret-of-{client}")], path=REVOKE_PATH)


async def is_alive(sts: Sts, access_token: str) -> bool:
    """Tell whether an access token with openid still opens the userinfo endpoint."""
    answer = await sts.get(USERINFO_PATH, [("authorization", f"Bearer {access_token}")])
    assert answer.status in {200, 401}
    return answer.status == 200


@asynccontextmanager
async def open_authorization(
    folder: Path | Location, *, rules: Rules = RULES, threads: Threads | None = None
) -> AsyncIterator[Browser]:
    """Open a token service with these clients, and a browser in which nobody has logged in."""
    async with open_sts(folder, rules=rules, clients=CLIENTS, threads=threads) as sts:
        yield Browser(sts)
