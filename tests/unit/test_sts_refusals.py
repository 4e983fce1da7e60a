"""What the token endpoint refuses, and how it says so: a row for each rule, with the section that it comes from."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.sts_setup import (
    ACCESS_TOKEN,
    DOMAIN,
    INVENTORY,
    ORDERS,
    OWN,
    Sts,
    basic,
    exchange_of,
    open_sts,
    service,
)


@pytest.fixture
async def sts(tmp_path: Path) -> AsyncIterator[Sts]:
    async with open_sts(tmp_path) as opened:
        yield opened


GATEWAY, BASIC = "gateway", "alice-app"
GRANTS = "urn:ietf:params:oauth:grant-type"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
REFUSALS = [
    # what the RFC says, who asks, form, status, error
    ("6749-5.2 unauthenticated", None, OWN, 401, "invalid_client"),
    ("6749-5.2 unknown client", "nobody:x", OWN, 401, "invalid_client"),
    ("6749-5.2 wrong secret", "alice-app:wrong", OWN, 401, "invalid_client"),
    ("6749-5.2 no secret", "alice-app:", OWN, 401, "invalid_client"),
    ("6749-2.3.1 secret in the body", None, OWN | {"client_id": BASIC, "client_secret": "x"}, 401, "invalid_client"),
    ("6749-2.3 two ways at once", BASIC, OWN | {"client_secret": "x"}, 400, "invalid_request"),
    ("6749-3.2.1 another client_id", BASIC, OWN | {"client_id": "bob-app"}, 400, "invalid_request"),
    ("6749-5.2 no grant_type", BASIC, {}, 400, "invalid_request"),
    ("6749-3.2 empty grant_type", BASIC, {"grant_type": ""}, 400, "invalid_request"),
    ("6749-5.2 unknown grant", BASIC, {"grant_type": "password"}, 400, "unsupported_grant_type"),
    ("7523-2.1 JWT bearer grant", BASIC, {"grant_type": f"{GRANTS}:jwt-bearer"}, 400, "unsupported_grant_type"),
    ("8628-3.4 device grant", BASIC, {"grant_type": f"{GRANTS}:device_code"}, 400, "unsupported_grant_type"),
    (
        "7523-2.2 an assertion of the client",
        None,
        OWN | {"client_id": BASIC, "client_assertion": "a.b.c", "client_assertion_type": ASSERTION},
        401,
        "invalid_client",
    ),
    ("6749-5.2 grant not of this client", BASIC, exchange_of("oma_x") | {"client_id": ""}, 400, "unauthorized_client"),
    ("6749-3.3 scope not available", BASIC, OWN | {"scope": "operate"}, 400, "invalid_scope"),
    ("6749-3.3 scope malformed", BASIC, OWN | {"scope": "add_order\tx"}, 400, "invalid_scope"),
    ("8707-2 unknown resource", BASIC, OWN | {"resource": "https://other.test"}, 400, "invalid_target"),
    ("8707-2 not exactly the resource", BASIC, OWN | {"resource": ORDERS + "/"}, 400, "invalid_target"),
    ("8707-2 a fragment", BASIC, OWN | {"resource": ORDERS + "#all"}, 400, "invalid_target"),
    ("8707-2 a query", BASIC, OWN | {"resource": ORDERS + "?all"}, 400, "invalid_target"),
    ("8707-2 not absolute", BASIC, OWN | {"resource": "order"}, 400, "invalid_target"),
    ("8707-2 resource not of this client", BASIC, OWN | {"resource": INVENTORY}, 400, "invalid_target"),
    (
        "8707-2 resource not of this service",
        GATEWAY,
        OWN | {"client_id": GATEWAY, "resource": ORDERS},
        400,
        "invalid_target",
    ),
    ("a service has no opaque token", GATEWAY, OWN | {"client_id": GATEWAY}, 400, "invalid_target"),
    ("8705-2 no client_id", GATEWAY, OWN | {"resource": INVENTORY}, 401, "invalid_client"),
    ("8705-2.1 another's certificate", "order", OWN | {"client_id": GATEWAY}, 401, "invalid_client"),
    ("8705-2.1 no certificate", None, OWN | {"client_id": GATEWAY}, 401, "invalid_client"),
    ("8705-2.1 a secret is no certificate", "gateway:", OWN, 401, "invalid_client"),
    ("8693-2.1 no subject_token", GATEWAY, exchange_of(""), 400, "invalid_request"),
    ("8693-2.1 no subject_token_type", GATEWAY, exchange_of("USER", subject_token_type=""), 400, "invalid_request"),
    (
        "8693-3 an ID token",
        GATEWAY,
        exchange_of("USER", subject_token_type="urn:ietf:params:oauth:token-type:id_token"),
        400,
        "invalid_request",
    ),
    (
        "8693-3 a refresh token",
        GATEWAY,
        exchange_of("USER", subject_token_type="urn:ietf:params:oauth:token-type:refresh_token"),
        400,
        "invalid_request",
    ),
    (
        "8693-3 a SAML assertion",
        GATEWAY,
        exchange_of("USER", subject_token_type="urn:ietf:params:oauth:token-type:saml2"),
        400,
        "invalid_request",
    ),
    ("8693-2.1 nobody authenticates", None, exchange_of("USER"), 401, "invalid_client"),
    ("8693-2.1 actor_token", GATEWAY, exchange_of("USER", actor_token="x"), 400, "invalid_request"),
    ("8693-2.1 actor_token_type alone", GATEWAY, exchange_of("USER", actor_token_type="x"), 400, "invalid_request"),
    (
        "8693-2.1 actor_token with its type",
        GATEWAY,
        exchange_of("USER", actor_token="USER", actor_token_type=ACCESS_TOKEN),
        400,
        "invalid_request",
    ),
    ("8693-2.1 other token type", GATEWAY, exchange_of("USER", requested_token_type="x"), 400, "invalid_request"),
    ("8693-2.2.2 unknown token", GATEWAY, exchange_of("oma_" + "x" * 43), 400, "invalid_request"),
    ("8693-2.2.2 rubbish", GATEWAY, exchange_of("é\x00..\ud7ff"), 400, "invalid_request"),
    ("8693-2.2.2 unknown audience", GATEWAY, exchange_of("USER", audience="accounting"), 400, "invalid_target"),
    ("8693-2.2.2 audience not allowed", GATEWAY, exchange_of("USER", audience="gateway"), 400, "invalid_target"),
    ("8693-2.2.2 no audience", GATEWAY, exchange_of("USER", audience=""), 400, "invalid_target"),
    ("8693-2.2.2 audience and resource", GATEWAY, exchange_of("USER", resource=INVENTORY), 400, "invalid_target"),
    ("8693-2.2 more than the subject", GATEWAY, exchange_of("USER", scope="operate"), 400, "invalid_scope"),
]


@pytest.mark.parametrize(
    ("who", "form", "status", "error"), [row[1:] for row in REFUSALS], ids=[r[0] for r in REFUSALS]
)
async def test_refusals(sts: Sts, who: str | None, form: dict[str, str], status: int, error: str) -> None:
    user_token = await sts.user_token()
    form = {name: user_token if value == "USER" else value for name, value in form.items()}
    peer = service(who) if who in {"gateway", "order"} else None
    name, _, secret = (who or "").partition(":")
    headers = [] if who is None or peer else sts.basic(name, secret if ":" in (who or "") else None)
    answer = await sts.post(form, headers=headers, peer=peer)
    assert (answer.status, answer.body["error"]) == (status, error)
    assert answer.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in answer.headers) == (status == 401)
    text = answer.body["error_description"]
    assert text.isascii()
    assert not {'"', "\\"} & set(text)  # RFC 6749 section 5.2
    assert not any(value in text for value in (user_token, *sts.secrets.values()))


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic ===", "Basic " + "é", "Bearer x", "Basic bm9jb2xvbg==", "Basic //79Ov8=", "Basic OnNlY3JldA=="],
)
async def test_credentials_that_cannot_be_read_are_401(sts: Sts, header: str) -> None:
    answer = await sts.post(OWN, headers=[("authorization", header)])
    assert (answer.status, answer.body["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize("client", ["alice-app", "nobody", "gateway"])
async def test_an_unknown_client_costs_as_much_as_a_wrong_secret(
    client: str, sts: Sts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever measures the time of an answer does not learn which clients there are, or which have a secret."""
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def recorded(left: str, right: str) -> bool:
        compared.append((len(left), len(right)))
        return compare(left, right)

    monkeypatch.setattr(hmac, "compare_digest", recorded)
    assert (await sts.post(OWN, headers=[basic(client, "wrong")])).body["error"] == "invalid_client"
    assert compared == [(64, 64)]


async def test_credentials_are_form_encoded_inside_basic(sts: Sts) -> None:
    """RFC 6749 section 2.3.1."""
    answer = await sts.post(OWN, headers=[basic("alice%2Dapp", sts.secrets["alice-app"])])
    assert answer.status == 200


async def test_two_authorization_headers_are_refused(sts: Sts) -> None:
    headers = [*sts.basic("alice-app"), *sts.basic("alice-app")]
    assert (await sts.post(OWN, headers=headers)).body["error"] == "invalid_request"


@pytest.mark.parametrize("name", ["grant_type", "scope", "subject_token", "unknown"])
async def test_a_repeated_parameter_is_refused(sts: Sts, name: str) -> None:
    """RFC 6749 section 3.2."""
    form = [("grant_type", "client_credentials"), (name, "a"), (name, "a")]
    answer = await sts.post(form, headers=sts.basic("alice-app"))
    assert (answer.status, answer.body["error"]) == (400, "invalid_request")


async def test_a_parameter_without_a_value_counts_as_omitted(sts: Sts) -> None:
    """RFC 6749 section 3.2."""
    form = [*OWN.items(), ("scope", ""), ("scope", "add_order"), ("resource", "")]
    assert (await sts.post(form, headers=sts.basic("alice-app"))).body["scope"] == "add_order"


async def test_unknown_parameters_are_ignored(sts: Sts) -> None:
    """RFC 6749 section 3.2."""
    assert (await sts.post(OWN | {"shoe_size": "9"}, headers=sts.basic("alice-app"))).status == 200


async def test_several_resources_are_an_invalid_target(sts: Sts) -> None:
    """RFC 8707 section 2 leaves it to us: a token that several services take can be passed on by each of them."""
    form = [*OWN.items(), ("resource", ORDERS), ("resource", "https://gateway.test")]
    assert (await sts.post(form, headers=sts.basic("alice-app"))).body["error"] == "invalid_target"


async def test_one_target_may_be_named_in_several_ways(sts: Sts) -> None:
    """RFC 8707 section 2, RFC 8693 section 2.1."""
    form = [*OWN.items(), ("resource", ORDERS), ("resource", ORDERS), ("resource", f"spiffe://{DOMAIN}/order")]
    answer = await sts.post(form, headers=sts.basic("alice-app"))
    assert sts.read(answer.body["access_token"], "order").sub == "client:alice-app"
    answer = await sts.post(exchange_of(await sts.user_token(), resource=ORDERS), peer=service("gateway"))
    assert sts.read(answer.body["access_token"], "order").sub == "alice"


async def test_parameters_in_the_url_are_refused(sts: Sts) -> None:
    answer = await sts.post(OWN, headers=sts.basic("alice-app"), path="/oauth2/token?scope=add_order")
    assert (answer.status, answer.body["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"grant_type": "client_credentials"}'),
        ("application/x-www-form-urlencoded", b"\xff"),
        ("application/x-www-form-urlencoded", b"grant_type=client_credentials&scope=%ff"),
    ],
)
async def test_a_body_that_is_no_form_is_refused(sts: Sts, content_type: str, body: bytes) -> None:
    answer = await sts.post(body, headers=sts.basic("alice-app"), content_type=content_type)
    assert (answer.status, answer.body["error"]) == (400, "invalid_request")


async def test_the_token_endpoint_takes_only_post(sts: Sts) -> None:
    """RFC 6749 section 3.2."""
    answer = await sts.get("/oauth2/token")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
