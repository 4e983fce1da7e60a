"""A user's way through the token service as it is put together: from the request to the order service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
import trio.testing

from ordermgmt.net.outbound import Response
from ordermgmt.storage import open_database
from ordermgmt.sts import store
from ordermgmt.sts.authorize import Authorizations
from ordermgmt.sts.contract import SESSION_COOKIE
from ordermgmt.sts.rules import Rules
from ordermgmt.sts.sessions import Sessions
from ordermgmt.testing.harness import RunningSystem, running_system
from tests.unit.authorization_setup import CHALLENGE, VERIFIER

CALLBACK = "http://127.0.0.1:54321/callback"
FORM = [("content-type", "application/x-www-form-urlencoded")]
REQUEST = {
    "response_type": "code",
    "client_id": "demo-spa",
    "redirect_uri": CALLBACK,
    "scope": "openid add_order",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


@asynccontextmanager
async def pages(system: RunningSystem) -> AsyncIterator[tuple[Sessions, Authorizations]]:
    """What login and consent do, on the database of the running service."""
    runtime, migrations = system.runtime, files("ordermgmt.sts") / "migrations"
    async with open_database(
        system.location("sts"), migrations, threads=runtime.threads, clock=runtime.clock
    ) as database:
        rules = Rules(system.suite.endpoints.issuer, 3600, 60, 600, {})
        yield (
            Sessions(database, rules, runtime.entropy, runtime.clock),
            Authorizations(database, rules, {}, runtime.entropy, runtime.clock),
        )
        assert await database.read(lambda transaction: store.find_user(transaction, "nobody")) is None


async def post(system: RunningSystem, path: str, form: Mapping[str, str], identity: str | None = None) -> Response:
    client = await system.client("sts", identity=identity)
    return await client.request("POST", path, headers=FORM, content=urlencode(dict(form)).encode())


async def tokens(system: RunningSystem, form: Mapping[str, str], identity: str | None = None) -> Any:
    answer = await post(system, "/oauth2/token", form, identity)
    assert answer.status == 200, answer.content
    return msgspec.json.decode(answer.content)


def query_of(location: str, url: str) -> dict[str, str]:
    assert location.startswith(url + "?")
    return dict(parse_qsl(location.removeprefix(url + "?"), strict_parsing=True))


async def test_from_an_authorization_request_to_an_order(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with running_system(tmp_path) as system, pages(system) as (sessions, authorizations):
        issuer, target = system.suite.endpoints.issuer, f"/oauth2/authorize?{urlencode(REQUEST)}"
        answer = await system.request("sts", "GET", target)
        assert answer.status == 303
        login = query_of(answer.headers["location"], issuer + "/login")
        cookie = await sessions.open_session("alice")
        session = await sessions.find_session(cookie)
        assert session is not None
        await authorizations.grant_consent(login["request"], session)
        code = query_of(await authorizations.continue_authorization(login["request"], session), CALLBACK)["code"]
        redemption = {"code": code, "redirect_uri": CALLBACK, "client_id": "demo-spa", "code_verifier": VERIFIER}
        first = await tokens(system, {"grant_type": "authorization_code", **redemption})
        order = {"id": "1", "name": "a", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}
        assert (
            await system.request("gateway", "POST", "/order", token=first["access_token"], json=order)
        ).status == 201
        renewal = {"grant_type": "refresh_token", "client_id": "demo-spa", "refresh_token": first["refresh_token"]}
        second = await tokens(system, renewal)
        answer = await system.request("gateway", "GET", "/order", token=second["access_token"])
        assert b'"1"' in answer.content
        form = {"token": second["access_token"], "client_id": "gateway"}
        seen = msgspec.json.decode((await post(system, "/oauth2/introspect", form, "gateway")).content)
        assert (seen["sub"], seen["sid"]) == ("alice", session.sid)
        signed_in = await system.request("sts", "GET", target, headers=[("cookie", f"{SESSION_COOKIE}={cookie}")])
        assert signed_in.headers["location"].startswith(issuer + "/consent?")
        form = {"token": second["refresh_token"], "client_id": "demo-spa"}
        assert (await post(system, "/oauth2/revoke", form)).status == 200
        answer = await system.request("sts", "GET", "/oauth2/userinfo", token=second["access_token"])
        assert answer.status == 401
