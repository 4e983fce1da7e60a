from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ordermgmt.security.jose_json import decode_base64url, decode_object
from ordermgmt.sts import store
from ordermgmt.sts.mint import token_digest
from tests.unit.sts_setup import (
    ACCESS_TOKEN,
    INVENTORY,
    ISSUER,
    MTLS_URL,
    NOW,
    ORDERS,
    OWN,
    TOKEN_EXCHANGE,
    Sts,
    exchange_of,
    open_sts,
    service,
)


@pytest.fixture
async def sts(tmp_path: Path) -> AsyncIterator[Sts]:
    async with open_sts(tmp_path) as opened:
        yield opened


def claims_of(token: str) -> Mapping[str, Any]:
    return decode_object(decode_base64url(token.split(".")[1]), 8192)


async def test_a_client_gets_an_opaque_token_for_the_gateway(sts: Sts) -> None:
    answer = await sts.post(OWN, headers=sts.basic("admin-app"))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    token = answer.body.pop("access_token")
    assert len(token) == 47
    assert token.startswith("oma_")
    assert answer.body == {
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "add_order cancel_order operate read_all_orders update_order",
    }
    kept = await sts.database.read(
        lambda transaction: store.find_access_token(transaction, token_digest(token), ISSUER)
    )
    assert kept is not None
    assert (kept.subject, kept.audience, kept.expires_at) == ("client:admin-app", "gateway", NOW + 3600)


async def test_a_token_is_kept_only_as_a_digest(sts: Sts, tmp_path: Path) -> None:
    token = (await sts.post(OWN, headers=sts.basic("admin-app"))).body["access_token"]
    stored = read_database(tmp_path)
    assert token.encode() not in stored
    assert token_digest(token).encode() in stored


def read_database(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("sts.sqlite*"))


async def test_a_client_asks_for_fewer_scopes(sts: Sts) -> None:
    answer = await sts.post(OWN | {"scope": "operate add_order"}, headers=sts.basic("admin-app"))
    assert answer.body["scope"] == "add_order operate"


async def test_a_resource_gives_a_jwt_for_that_service(sts: Sts) -> None:
    answer = await sts.post(OWN | {"resource": ORDERS}, headers=sts.basic("alice-app"))
    token = answer.body["access_token"]
    assert decode_object(decode_base64url(token.split(".")[0]), 999)["typ"] == "at+jwt"  # RFC 9068 section 2.1
    claims = dict(claims_of(token))
    assert claims.pop("jti")
    assert claims == {
        "iss": ISSUER,
        "sub": "client:alice-app",
        "aud": "order",
        "client_id": "alice-app",
        "iat": NOW,
        "exp": NOW + 60,
        "scope": "add_order",
        "revocable_by": ["client:alice-app#0"],
    }
    assert sts.read(token, "order").sub == "client:alice-app"


async def test_the_gateway_as_resource_gives_an_opaque_token(sts: Sts) -> None:
    answer = await sts.post(OWN | {"resource": "https://gateway.test"}, headers=sts.basic("alice-app"))
    assert answer.body["access_token"].startswith("oma_")


async def test_a_service_gets_a_token_bound_to_its_certificate(sts: Sts) -> None:
    form = OWN | {"client_id": "order", "resource": INVENTORY}
    answer = await sts.post(form, peer=service("order", thumbprint="its-print"))
    assert (answer.status, answer.body["expires_in"]) == (200, 600)
    claims = claims_of(answer.body["access_token"])
    assert claims["cnf"] == {"x5t#S256": "its-print"}  # RFC 8705 section 3.1
    assert (claims["aud"], claims["scope"]) == ("inventory", "change_inventory read_inventory")


async def test_an_exchange_gives_a_jwt_with_user_and_actor(sts: Sts) -> None:
    token = await sts.user_token()
    answer = await sts.post(exchange_of(token), peer=service("gateway"))
    assert answer.status == 200
    assert answer.body["issued_token_type"] == ACCESS_TOKEN  # RFC 8693 section 2.2.1
    assert (answer.body["token_type"], answer.body["expires_in"]) == ("Bearer", 60)
    claims = dict(claims_of(answer.body["access_token"]))
    assert claims.pop("jti")
    assert claims == {
        "iss": ISSUER,
        "sub": "alice",
        "aud": "order",
        "client_id": "gateway",
        "iat": NOW,
        "exp": NOW + 60,
        "scope": "add_order cancel_order",
        "act": {"sub": "client:gateway"},
        "preferred_username": "alice",
        "name": "Alice",
        "roles": ["customer"],
        "revocable_by": ["client:alice-app#0", token_digest(token)[:32]],
    }


@pytest.mark.parametrize("wanted", [ACCESS_TOKEN, "urn:ietf:params:oauth:token-type:jwt"])
async def test_the_type_that_was_asked_for_is_the_type_that_is_issued(sts: Sts, wanted: str) -> None:
    """RFC 8693 section 2.2.1."""
    answer = await sts.post(exchange_of(await sts.user_token(), requested_token_type=wanted), peer=service("gateway"))
    assert answer.body["issued_token_type"] == wanted
    assert answer.body.keys() == {"access_token", "issued_token_type", "token_type", "expires_in", "scope"}


async def test_a_token_cannot_say_who_may_act(sts: Sts) -> None:
    """RFC 8693 section 4.4 is not offered: the gateway may exchange because it is registered so."""
    own = (await sts.post(OWN | {"resource": ORDERS}, headers=sts.basic("alice-app"))).body["access_token"]
    for may_act in ({"sub": "client:gateway"}, {"sub": "client:order"}):
        subject = sts.key.sign({**claims_of(own), "aud": "gateway", "may_act": may_act}, "at+jwt")
        answer = await sts.post(exchange_of(subject), peer=service("gateway"))
        assert "may_act" not in claims_of(answer.body["access_token"])
        refused = await sts.post(exchange_of(subject, client_id="order"), peer=service("order"))
        assert refused.body["error"] == "unauthorized_client"


async def test_an_exchanged_token_ends_with_its_subject_token(sts: Sts) -> None:
    token = await sts.user_token(lifetime=100)
    sts.clock.time += 70
    answer = await sts.post(exchange_of(token), peer=service("gateway"))
    assert answer.body["expires_in"] == 30
    sts.clock.time += 30
    assert (await sts.post(exchange_of(token), peer=service("gateway"))).body["error"] == "invalid_request"


async def test_a_jwt_of_ours_for_the_caller_is_a_subject_token_and_only_for_the_caller(sts: Sts) -> None:
    peer = service("gateway")
    own = (await sts.post(OWN | {"resource": ORDERS}, headers=sts.basic("alice-app"))).body["access_token"]
    assert (await sts.post(exchange_of(own), peer=peer)).body["error"] == "invalid_request"
    payload = dict(claims_of(own)) | {"aud": "gateway", "act": {"sub": "client:portal"}}
    answer = await sts.post(exchange_of(sts.key.sign(payload, "at+jwt")), peer=peer)
    assert claims_of(answer.body["access_token"])["act"] == {"sub": "client:gateway", "act": {"sub": "client:portal"}}
    for wrong in ("JWT", "id+jwt"):
        refused = await sts.post(exchange_of(sts.key.sign(payload, wrong)), peer=peer)
        assert refused.body["error"] == "invalid_request"
    foreign = sts.key.sign(payload | {"iss": "wso2"}, "at+jwt")
    assert (await sts.post(exchange_of(foreign), peer=peer)).body["error"] == "invalid_request"


async def test_a_bound_subject_token_is_exchanged_only_by_its_owner_and_stays_bound(sts: Sts) -> None:
    own = (await sts.post(OWN | {"resource": ORDERS}, headers=sts.basic("alice-app"))).body["access_token"]
    bound = sts.key.sign(dict(claims_of(own)) | {"aud": "gateway", "cnf": {"x5t#S256": "print"}}, "at+jwt")
    refused = await sts.post(exchange_of(bound), peer=service("gateway", thumbprint="other"))
    assert refused.body["error"] == "invalid_request"
    answer = await sts.post(exchange_of(bound), peer=service("gateway", thumbprint="print"))
    assert claims_of(answer.body["access_token"])["cnf"] == {"x5t#S256": "print"}


async def test_an_exchange_for_inventory_is_bound(sts: Sts) -> None:
    form = exchange_of(await sts.user_token(), audience="inventory")
    answer = await sts.post(form, peer=service("gateway", thumbprint="print"))
    claims = claims_of(answer.body["access_token"])
    assert claims["cnf"] == {"x5t#S256": "print"}
    assert "scope" not in claims  # alice has none there


@pytest.mark.parametrize("domain", ["evil.test", "td.test.evil.test"])
async def test_a_certificate_of_another_trust_domain_proves_no_client(sts: Sts, domain: str) -> None:
    form = OWN | {"client_id": "order", "resource": INVENTORY}
    assert (await sts.post(form, peer=service("order", domain=domain))).body["error"] == "invalid_client"


async def test_a_secret_works_where_certificates_are_asked_for(sts: Sts) -> None:
    answer = await sts.post(OWN | {"resource": ORDERS}, headers=sts.basic("alice-app"), peer=service("gateway"))
    assert "cnf" not in claims_of(answer.body["access_token"])


async def test_no_two_tokens_are_the_same(sts: Sts) -> None:
    """RFC 6749 section 10.10, RFC 7519 section 4.1.7: 256 bits of chance in an opaque one, 128 in the id of a JWT."""
    headers = sts.basic("alice-app")
    opaque = [(await sts.post(OWN, headers=headers)).body["access_token"] for _ in range(20)]
    assert len(set(opaque)) == 20
    assert {len(decode_base64url(token.removeprefix("oma_"))) for token in opaque} == {32}
    jwts = [(await sts.post(OWN | {"resource": ORDERS}, headers=headers)).body["access_token"] for _ in range(20)]
    ids = [claims_of(token)["jti"] for token in jwts]
    assert len(set(ids)) == 20
    assert {len(decode_base64url(text)) for text in ids} == {16}


async def test_a_disabled_client_gets_nothing_and_its_tokens_end(sts: Sts) -> None:
    headers = sts.basic("alice-app")
    token = (await sts.post(OWN, headers=headers)).body["access_token"]
    await sts.database.write(lambda transaction: transaction.execute("UPDATE clients SET disabled = 1"))
    assert (await sts.post(OWN, headers=headers)).body["error"] == "invalid_client"
    assert (await sts.post(exchange_of(token), peer=service("gateway"))).body["error"] == "invalid_request"


async def test_the_keys_are_public_and_only_that(sts: Sts) -> None:
    answer = await sts.get("/oauth2/jwks")
    assert answer.headers["cache-control"] == "public, max-age=300"
    (key,) = answer.body["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert key["kid"] == sts.key.kid


async def test_the_guide_keys_are_only_a_document(sts: Sts) -> None:
    assert (await sts.get("/guide/jwks")).body == {"keys": []}


async def test_metadata_names_what_is_there(sts: Sts) -> None:
    """RFC 8414 sections 2 and 3, RFC 8705 sections 3.3 and 5."""
    document = (await sts.get("/.well-known/oauth-authorization-server")).body
    assert document["issuer"] == ISSUER
    assert document["token_endpoint"] == ISSUER + "/oauth2/token"
    assert document["jwks_uri"] == ISSUER + "/oauth2/jwks"
    assert document["mtls_endpoint_aliases"] == {
        f"{name}_endpoint": f"{MTLS_URL}/oauth2/{path}"
        for name, path in (("token", "token"), ("introspection", "introspect"), ("revocation", "revoke"))
    }
    assert document["tls_client_certificate_bound_access_tokens"] is True
    assert document["grant_types_supported"] == [
        "authorization_code",
        "refresh_token",
        "client_credentials",
        TOKEN_EXCHANGE,
    ]
    assert document["token_endpoint_auth_methods_supported"] == ["client_secret_basic", "tls_client_auth", "none"]
    assert all(document.values())  # RFC 8414 section 3.2: none without elements


async def test_every_address_in_metadata_is_one_for_tls(sts: Sts) -> None:
    """RFC 8414 sections 2 and 3.2, RFC 6749 sections 3.1 and 3.2: absolute, and without query and fragment."""
    for path in ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"):
        answer = await sts.get(path)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        document = answer.body | answer.body["mtls_endpoint_aliases"]
        urls = [value for name, value in document.items() if name.endswith(("_endpoint", "_uri", "issuer"))]
        assert len(urls) >= 6
        assert all(url.startswith("https://") and not {"?", "#"} & set(url) for url in urls)


async def test_metadata_names_nothing_that_is_not_there(sts: Sts) -> None:
    document = (await sts.get("/.well-known/openid-configuration")).body
    absent = {
        "registration_endpoint",
        "device_authorization_endpoint",
        "pushed_authorization_request_endpoint",
        "signed_metadata",
        "token_endpoint_auth_signing_alg_values_supported",
        "request_object_signing_alg_values_supported",
        "id_token_encryption_alg_values_supported",
        "userinfo_signing_alg_values_supported",
        "dpop_signing_alg_values_supported",
        "check_session_iframe",
    }
    assert absent.isdisjoint(document)
    flags = ("claims_parameter_supported", "request_parameter_supported", "request_uri_parameter_supported")
    assert [document[flag] for flag in flags] == [False, False, False]
