"""The token service as it is put together: two TLS listeners on one database."""

from __future__ import annotations

import json
from base64 import b64decode
from contextlib import suppress
from pathlib import Path

import pytest
import trio.testing

from ordermgmt.config import Config, StsConfig
from ordermgmt.net.outbound import Interrupted, Response, Unreachable, open_client
from ordermgmt.pki import files as pki
from ordermgmt.security.tls import PublicTls
from ordermgmt.sts.main import open_keys
from ordermgmt.testing.harness import RunningSystem, running_system

EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "client_id": "gateway",
    "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "audience": "order",
}
OWN = {"grant_type": "client_credentials", "resource": "spiffe://ordermgmt.local/inventory"}


def decoded(answer: Response) -> dict[str, object]:
    document: dict[str, object] = json.loads(answer.content)
    return document


async def test_a_client_certificate_counts_only_where_one_is_asked_for(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with running_system(tmp_path, services=["sts"]) as system:
        token = await system.token("alice-app")
        refused = await system.token_request(EXCHANGE | {"subject_token": token})
        assert (refused.status, decoded(refused)["error"]) == (401, "invalid_client")
        given = await system.token_request(EXCHANGE | {"subject_token": token}, identity="gateway")
        assert (given.status, given.headers["cache-control"]) == (200, "no-store")
        for caller in ("order", "inventory"):
            refused = await system.token_request(EXCHANGE | {"subject_token": token}, identity=caller)
            assert (refused.status, decoded(refused)["error"]) == (401, "invalid_client")


async def test_the_operator_is_whoever_has_its_certificate(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with running_system(tmp_path, services=["sts"]) as system:
        suite = system.suite.config.suite
        pki.issue(system.certs, "operator", suite.names, suite.trust_domain, system.runtime.clock.now())
        given = decoded(await system.token_request(OWN | {"client_id": "operator"}, identity="operator"))
        assert (given["scope"], given["expires_in"]) == ("manage_inventory read_inventory", 600)


async def test_the_mtls_listener_takes_nobody_without_a_certificate(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with running_system(tmp_path, services=["sts"]) as system:
        address = system.address("sts", "mtls_listen")._replace(host="localhost")
        tls = PublicTls(system.certs / "ca.pem", clock=system.runtime.clock)
        async with open_client(system.runtime.network, [address], tls=tls) as http:
            # In TLS 1.3 a client learns only after its handshake that it was refused.
            with pytest.raises((Unreachable, Interrupted)):
                await http.request("GET", "/oauth2/jwks")


@pytest.mark.parametrize("setting", ["listen", "mtls_listen"])
async def test_without_tls_nobody_is_answered(
    setting: str, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """RFC 6749 sections 3.1, 3.2 and 10.9: not even by a redirect, which would come after the secret was sent."""
    async with running_system(tmp_path, services=["sts"]) as system:
        for head in (b"GET /oauth2/authorize", b"POST /oauth2/token", b"GET /.well-known/openid-configuration"):
            async with await system.runtime.network.connect(system.address("sts", setting)) as wire:
                await wire.send_all(head + b" HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n")
                answer = bytearray()
                with trio.move_on_after(60), suppress(trio.BrokenResourceError):
                    answer += await wire.receive_some()
                assert not answer.startswith(b"HTTP")


async def test_keys_and_tokens_outlive_a_restart(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with running_system(tmp_path, services=["sts"]) as system:
        keys, token = (await system.request("sts", "GET", "/oauth2/jwks")).content, await system.token("alice-app")
    async with running_system(tmp_path, services=["sts"], seed=1) as system:
        assert (await system.request("sts", "GET", "/oauth2/jwks")).content == keys
        given = await system.token_request(EXCHANGE | {"subject_token": token}, identity="gateway")
        assert given.status == 200


async def test_metadata_has_the_public_urls(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    config = Config(sts=StsConfig(public_url="https://sts.example/", mtls_public_url="https://mtls.sts.example"))
    async with running_system(tmp_path, config=config, services=["sts"]) as system:
        document = decoded(await system.request("sts", "GET", "/.well-known/oauth-authorization-server"))
        assert document["issuer"] == "https://sts.example"
        assert document["mtls_endpoint_aliases"] == {
            f"{name}_endpoint": f"https://mtls.sts.example/oauth2/{path}"
            for name, path in (("token", "token"), ("introspection", "introspect"), ("revocation", "revoke"))
        }


async def test_with_rs256_everything_is_signed_with_it(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """RFC 9068 section 2.1, OpenID Connect Discovery section 3: it is supported, and whoever wants it says so."""
    config = Config(sts=StsConfig(signing_algorithm="RS256"))
    async with running_system(tmp_path, config=config) as system:
        assert await algorithms(system) == ["RS256"]
        token = await system.order_token("alice-app")
        assert json.loads(b64decode(token.split(".")[0] + "==")) == {
            "alg": "RS256",
            "typ": "at+jwt",
            "kid": (await system.signing_key()).kid,
        }
        assert (await system.request("order", "GET", "/order", token=token)).status == 200


async def test_metadata_names_the_algorithms_of_all_published_keys(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with running_system(tmp_path, services=["sts"]) as system:
        assert await algorithms(system) == ["ES256"]
    config = Config(sts=StsConfig(signing_algorithm="RS256"))
    async with running_system(tmp_path, config=config, services=["sts"], seed=1) as system:
        assert await algorithms(system) == ["ES256"]
        async with open_keys(system.location("sts"), system.runtime, config=config.sts, data=system.data) as keys:
            await keys.rotate()
        await trio.sleep(1)
        assert await algorithms(system) == ["ES256", "RS256"]


async def algorithms(system: RunningSystem) -> object:
    document = decoded(await system.request("sts", "GET", "/.well-known/openid-configuration"))
    return document["id_token_signing_alg_values_supported"]


async def test_demo_clients_end_when_somebody_else_could_reach_them(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with running_system(tmp_path, services=["sts"]) as system:
        secret = system.secret("alice-app")
        token = await system.token("alice-app")
    config = Config(sts=StsConfig(listen="0.0.0.0:9445"))
    async with running_system(tmp_path, config=config, services=["sts"]) as system:
        assert system.secret("alice-app") == secret
        given = await system.token_request(EXCHANGE | {"subject_token": token}, identity="gateway")
        assert decoded(given)["error"] == "invalid_request"


@pytest.mark.parametrize("guide", [True, False])
async def test_the_guide_keys_are_there_only_for_the_replay(
    guide: bool,  # noqa: FBT001 - a parameter of the test
    tmp_path: Path,
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running_system(tmp_path, services=["sts"], guide=guide) as system:
        answer = await system.request("sts", "GET", "/guide/jwks")
        assert answer.status == (200 if guide else 404)
        assert not guide or (await published_token_is_refused(system))


async def published_token_is_refused(system: RunningSystem) -> bool:
    """Whatever key signed it, the token service takes no token but its own."""
    foreign = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IngifQ.eyJpc3MiOiJ3c28yIiwiYXVkIjoiZ2F0ZXdheSJ9.AAAA"
    given = await system.token_request(EXCHANGE | {"subject_token": foreign}, identity="gateway")
    return decoded(given).get("error") == "invalid_request"
