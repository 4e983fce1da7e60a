"""Clients that others wrote, over real sockets: they find out, log a user in, and use all that there is for them."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import trio
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwk, jwt

from tests.conftest import NODE_MODULES
from tests.system.processes import PATIENCE, SuiteProcess, environment, suite
from tests.system.visiting import Visitor

CALLBACK = "https://shop.example/callback"
GOODBYE = "https://shop.example/goodbye"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteProcess]:
    with suite(tmp_path_factory.mktemp("suite")) as started:
        yield started


def register(running: SuiteProcess, name: str) -> tuple[str, str]:
    """Return the secret of a new client and the password of a new user, both of this name."""
    password = running.command("users", "add", name, "--scope", "add_order", "--full-name", "Carol C.", "--generate")
    scopes = [word for scope in ("openid", "profile", "add_order") for word in ("--scope", scope)]
    uris = ("--redirect-uri", CALLBACK, "--post-logout-redirect-uri", GOODBYE)
    secret = running.command("clients", "add", name, *uris, *scopes)
    return secret.splitlines()[0], password.strip()


@contextmanager
def relying_party(running: SuiteProcess, told: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """Run the script of the relying party, which has `told` to go by."""
    with subprocess.Popen(
        ["node", NODE_MODULES.parent / "relying_party.mjs"],
        env=environment({"NODE_EXTRA_CA_CERTS": str(running.folder / "certs" / "ca.pem")}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(told) + "\n")
            yield process
        finally:
            process.kill()


async def accompany(process: subprocess.Popen[str], visitor: Visitor) -> Any:
    """Visit what the relying party says, and return the last that it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    with trio.fail_after(PATIENCE):
        while True:
            line = await trio.to_thread.run_sync(process.stdout.readline, abandon_on_cancel=True)
            if not line:
                assert process.stderr is not None
                pytest.fail(process.stderr.read())
            said = json.loads(line)
            if "visit" not in said:
                return said
            process.stdin.write(await visitor.visit(said["visit"]) + "\n")


@pytest.mark.node
def test_openid_client_needs_nothing_but_the_address(running: SuiteProcess) -> None:
    secret, password = register(running, "shop")
    certs = running.folder / "certs"
    told = {
        "issuer": running.url("sts"),
        "id": "shop",
        "secret": secret,
        "callback": CALLBACK,
        "goodbye": GOODBYE,
        "service": {"id": "gateway", "certificate": str(certs / "gateway.pem"), "key": str(certs / "gateway.key")},
    }
    with relying_party(running, told) as process:
        said = trio.run(accompany, process, Visitor(running, "shop", password))
    assert said["refusal"] == "invalid_grant"  # without the verifier of its challenge a code is worth nothing
    assert said["claims"]["sub"] == said["userinfo"]["sub"] == "shop"
    assert said["userinfo"]["name"] == "Carol C."
    assert said["introspected"]["active"] is True
    assert said["exchanged"]["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert said["revoked"] == {"active": False}
    assert said["left"] == f"{GOODBYE}?state={said['state']}"
    bearer = f"Authorization: Bearer {said['token']}"
    assert running.curl("--header", bearer, running.url("sts", "/oauth2/userinfo"))[0] == 401


async def test_authlib_does_the_same_on_trio(running: SuiteProcess) -> None:
    secret, password = register(running, "store")
    visitor = Visitor(running, "store", password)
    tls = ssl.create_default_context(cafile=running.folder / "certs" / "ca.pem")
    async with AsyncOAuth2Client(
        "store",
        secret,
        redirect_uri=CALLBACK,
        scope="openid profile add_order",
        code_challenge_method="S256",
        verify=tls,
        timeout=PATIENCE,
    ) as client:
        where = f"{running.url('sts')}/.well-known/openid-configuration"
        found = (await client.request("GET", where, withhold_token=True)).json()
        assert found["issuer"] == running.url("sts")
        tokens, claims = await log_in_with_authlib(client, found, visitor)
        userinfo = (await client.get(found["userinfo_endpoint"])).json()
        assert (userinfo["sub"], userinfo["name"]) == (claims["sub"], "Carol C.") == ("store", "Carol C.")
        refreshed = await client.refresh_token(found["token_endpoint"])
        assert refreshed["refresh_token"] != tokens["refresh_token"]
        endpoint = found["introspection_endpoint"]
        assert (await client.introspect_token(endpoint, refreshed["access_token"])).json()["active"] is True
        exchanged = await exchange_with_authlib(running, found, refreshed["access_token"])
        assert (exchanged["token_type"], exchanged["scope"]) == ("Bearer", "add_order")
        assert (await client.revoke_token(found["revocation_endpoint"], refreshed["refresh_token"])).status_code == 200
        assert (await client.introspect_token(endpoint, refreshed["access_token"])).json() == {"active": False}
        leaving = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": GOODBYE, "state": "bye"}
        left = await visitor.visit(f"{found['end_session_endpoint']}?{urlencode(leaving)}")
        assert left == f"{GOODBYE}?state=bye"
        assert (await client.get(found["userinfo_endpoint"])).status_code == 401


async def log_in_with_authlib(client: AsyncOAuth2Client, found: Any, visitor: Visitor) -> tuple[Any, Any]:
    """Return the tokens of the visitor, and the claims of its ID token, which was looked at."""
    verifier, nonce = generate_token(48), generate_token(20)
    url, state = client.create_authorization_url(
        found["authorization_endpoint"], code_verifier=verifier, nonce=nonce, max_age=600
    )
    returned = await visitor.visit(url)
    assert parse_qs(urlsplit(returned).query)["iss"] == [found["issuer"]]  # RFC 9207 section 2.4
    redeem = partial(client.fetch_token, found["token_endpoint"], authorization_response=returned, state=state)
    with pytest.raises(OAuthError, match="invalid_grant"):
        await redeem(code_verifier=generate_token(48))
    tokens = await redeem(code_verifier=verifier)
    keys = jwk.KeySet.import_key_set((await client.request("GET", found["jwks_uri"], withhold_token=True)).json())
    token = jwt.decode(tokens["id_token"], keys, algorithms=found["id_token_signing_alg_values_supported"])
    claims = CodeIDToken(
        token.claims,
        token.header,
        {"iss": {"essential": True, "value": found["issuer"]}, "aud": {"essential": True, "value": client.client_id}},
        {"nonce": nonce, "client_id": client.client_id, "access_token": tokens["access_token"], "max_age": 600},
    )
    claims.validate()
    return tokens, claims


async def exchange_with_authlib(running: SuiteProcess, found: Any, token: str) -> Any:
    """Exchange a token as the gateway, with its certificate (RFC 8705), at the endpoint that is named for it."""
    certs = running.folder / "certs"
    tls = ssl.create_default_context(cafile=certs / "ca.pem")
    tls.load_cert_chain(certs / "gateway.pem", certs / "gateway.key")
    async with AsyncOAuth2Client(
        "gateway",
        token_endpoint_auth_method="none",
        verify=tls,
        timeout=PATIENCE,  # the certificate does it
    ) as gateway:
        return await gateway.fetch_token(
            found["mtls_endpoint_aliases"]["token_endpoint"],
            grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
            subject_token=token,
            subject_token_type="urn:ietf:params:oauth:token-type:access_token",
            audience="order",
        )
