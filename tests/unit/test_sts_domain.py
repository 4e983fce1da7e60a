from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.security.claims import read_ids
from ordermgmt.sts.contract import AUDIENCES, ORDER_SCOPES, SERVICE_SCOPES, TOKEN_EXCHANGE, Audience, OAuthError
from ordermgmt.sts.domain import MAX_ACTORS, Authority, choose_target, exchange, for_client, for_itself
from ordermgmt.sts.registration import Client, UserDetails, is_client_id, is_redirect_uri, is_user_name, system_clients

NOW = 1_700_000_000
TOKEN = Authority(
    issuer="https://sts.test",
    subject="alice",
    scopes=frozenset({"add_order", "cancel_order"}),
    audience="gateway",
    expires_at=NOW + 3600,
    client_id="web",
    user=UserDetails("Alice", ("customer",)),
)
GATEWAY = system_clients("td.test")["gateway"]
ORDER = AUDIENCES["order"]

scope_sets = st.sets(st.sampled_from(sorted(ORDER_SCOPES | SERVICE_SCOPES))).map(frozenset)
names = st.sampled_from(sorted(AUDIENCES))
authorities = st.builds(
    Authority,
    issuer=st.just("https://sts.test"),
    subject=st.sampled_from(["alice", "client:app"]),
    scopes=scope_sets,
    audience=names,
    expires_at=st.integers(NOW - 10, NOW + 5000),
    client_id=st.sampled_from(["app", "gateway"]),
    actors=st.lists(st.sampled_from(["client:gateway", "client:order"]), max_size=MAX_ACTORS).map(tuple),
    bound_to=st.sampled_from(["", "", "thumb-1"]),
    user=st.sampled_from([None, UserDetails("Alice", ("customer",))]),
    sid=st.sampled_from(["", "sid-1"]),
    family=st.sampled_from(["", "family-1"]),
    generation=st.integers(0, 3),
    revocable_by=st.lists(st.sampled_from(["family-1", "client:app#1", "token-1"]), unique=True).map(tuple),
)
exchanges = st.lists(
    st.fixed_dictionaries(
        {
            "caller": st.none() | names,  # None: who the token is for
            "allowed": st.sets(names).map(frozenset),
            "target": names,
            "scopes": st.none() | scope_sets,
            "lifetime": st.integers(1, 10_000),
            "later": st.sampled_from([0, 1, 60, 2000]),
            "thumbprint": st.sampled_from(["", "thumb-1", "thumb-2"]),
        }
    ),
    max_size=6,
)


@given(authorities, exchanges)
def test_no_sequence_of_exchanges_widens_anything(first: Authority, steps: list[dict[str, Any]]) -> None:
    current, now = first, NOW
    for step in steps:
        now += step["later"]
        caller = Client(
            step["caller"] or current.audience,
            frozenset({TOKEN_EXCHANGE}),
            frozenset(),
            exchange_targets=step["allowed"],
        )
        try:
            narrowed = exchange(
                current,
                caller,
                AUDIENCES[step["target"]],
                now=now,
                lifetime=step["lifetime"],
                scopes=step["scopes"],
                thumbprint=step["thumbprint"],
            )
        except OAuthError:
            continue
        assert now < current.expires_at
        assert current.audience == caller.id
        assert narrowed.audience in step["allowed"]
        assert narrowed.scopes <= current.scopes & AUDIENCES[step["target"]].scopes
        assert now < narrowed.expires_at <= min(current.expires_at, now + step["lifetime"])
        assert (narrowed.issuer, narrowed.subject, narrowed.user) == (current.issuer, current.subject, current.user)
        assert (narrowed.sid, narrowed.family) == (current.sid, current.family)
        assert narrowed.generation == current.generation
        assert narrowed.revocable_by == first.revocable_by  # what it came of ends it, however far it went
        assert set(narrowed.revocable_by) <= read_ids(narrowed.claims(token_id="id", issued_at=int(now)))
        assert narrowed.client_id == caller.id
        assert narrowed.actors == (f"client:{caller.id}", *current.actors)
        assert len(narrowed.actors) <= MAX_ACTORS
        assert narrowed.bound_to == current.bound_to or not current.bound_to
        if narrowed.audience == "inventory":
            assert narrowed.bound_to
        current = narrowed


@given(authorities, st.none() | scope_sets, st.integers(1, 10_000), st.sampled_from(["", "thumb-1"]))
def test_no_token_of_a_family_says_more_than_the_family(
    family: Authority, scopes: frozenset[str] | None, lifetime: int, thumbprint: str
) -> None:
    try:
        token = for_client(family, now=NOW, lifetime=lifetime, scopes=scopes, thumbprint=thumbprint)
    except OAuthError:
        return
    assert token.scopes <= family.scopes & AUDIENCES[family.audience].scopes
    assert NOW < token.expires_at <= min(family.expires_at, NOW + lifetime)
    assert token.bound_to == thumbprint
    assert token.bound_to or token.audience != "inventory"
    assert replace(token, scopes=family.scopes, expires_at=family.expires_at, bound_to=family.bound_to) == family


@given(authorities, scope_sets, st.integers(1, 5000))
def test_claims_say_what_the_authority_says(authority: Authority, scopes: frozenset[str], issued_at: int) -> None:
    authority = replace(authority, scopes=scopes)
    claims = authority.claims(token_id="id", issued_at=issued_at)
    assert frozenset(str(claims.get("scope", "")).split()) == scopes
    assert (claims["exp"], claims["aud"], claims["sub"]) == (
        authority.expires_at,
        authority.audience,
        authority.subject,
    )
    assert claims.get("sid", "") == authority.sid
    assert (claims.get("cnf") == {"x5t#S256": authority.bound_to}) == bool(authority.bound_to)
    actors = []
    act: Mapping[str, Any] | None = claims.get("act")
    while act is not None:
        actors.append(act["sub"])
        act = act.get("act")
    assert tuple(actors) == authority.actors


def test_an_exchange_cuts_to_subject_audience_and_request() -> None:
    wide = replace(TOKEN, scopes=frozenset({"add_order", "read_inventory"}))
    assert exchange(wide, GATEWAY, ORDER, now=NOW, lifetime=60).scopes == {"add_order"}
    asked = frozenset({"cancel_order"})
    assert exchange(TOKEN, GATEWAY, ORDER, now=NOW, lifetime=60, scopes=asked).scopes == asked


@pytest.mark.parametrize(
    ("change", "target", "options", "error"),
    [
        ({}, ORDER, {"scopes": frozenset({"operate"})}, "invalid_scope"),
        ({"scopes": SERVICE_SCOPES}, ORDER, {"scopes": frozenset({"read_inventory"})}, "invalid_scope"),
        ({"expires_at": NOW}, ORDER, {}, "invalid_request"),
        ({"audience": "order"}, ORDER, {}, "invalid_request"),
        ({"actors": ("a", "b", "c", "d")}, ORDER, {}, "invalid_request"),
        ({"bound_to": "other"}, ORDER, {}, "invalid_request"),
        ({"bound_to": "other"}, ORDER, {"thumbprint": "mine"}, "invalid_request"),
        ({}, AUDIENCES["gateway"], {}, "invalid_target"),
        ({}, AUDIENCES["inventory"], {}, "invalid_target"),
    ],
)
def test_an_exchange_is_refused(change: dict[str, Any], target: Audience, options: dict[str, Any], error: str) -> None:
    with pytest.raises(OAuthError) as refused:
        exchange(replace(TOKEN, **change), GATEWAY, target, now=NOW, lifetime=60, **options)
    assert refused.value.error == error


def test_a_token_lives_as_long_as_asked_but_not_longer_than_its_subject() -> None:
    assert exchange(TOKEN, GATEWAY, ORDER, now=NOW + 0.9, lifetime=60).expires_at == NOW + 60
    assert exchange(TOKEN, GATEWAY, ORDER, now=NOW + 3590, lifetime=60).expires_at == NOW + 3600


def test_actors_nest_with_the_latest_outside() -> None:
    token = replace(TOKEN, actors=("client:portal",))
    claims = exchange(token, GATEWAY, ORDER, now=NOW, lifetime=60).claims(token_id="id", issued_at=NOW)
    assert claims["act"] == {"sub": "client:gateway", "act": {"sub": "client:portal"}}


def test_user_details_are_those_of_the_audience() -> None:
    at_order = exchange(TOKEN, GATEWAY, ORDER, now=NOW, lifetime=60).claims(token_id="id", issued_at=NOW)
    details = (at_order["preferred_username"], at_order["name"], at_order["roles"])
    assert details == ("alice", "Alice", ["customer"])
    at_gateway = TOKEN.claims(token_id="id", issued_at=NOW)
    assert at_gateway["preferred_username"] == "alice"
    assert at_gateway.keys().isdisjoint({"name", "roles"})
    of_client = replace(TOKEN, subject="client:app", user=None).claims(token_id="id", issued_at=NOW)
    assert of_client.keys().isdisjoint({"preferred_username", "name", "roles"})


def test_inventory_never_gets_an_unbound_token() -> None:
    order = system_clients("td.test")["order"]
    with pytest.raises(OAuthError, match="invalid_target"):
        for_itself(order, AUDIENCES["inventory"], issuer="i", now=NOW, lifetime=600)
    bound = for_itself(order, AUDIENCES["inventory"], issuer="i", now=NOW, lifetime=600, thumbprint="t")
    assert bound.bound_to == "t"
    assert bound.scopes == {"read_inventory", "change_inventory"}


KNOWN = {"https://orders.test": "order", "spiffe://td.test/inventory": "inventory"}


@pytest.mark.parametrize(
    ("audiences", "resources", "target"),
    [
        ([], [], None),
        (["order"], [], "order"),
        ([], ["https://orders.test"], "order"),
        ([], ["spiffe://td.test/inventory"], "inventory"),
        (["order", "order"], [], "order"),
        (["order"], ["https://orders.test", "https://orders.test"], "order"),
    ],
)
def test_a_request_names_one_target(audiences: list[str], resources: list[str], target: str | None) -> None:
    chosen = choose_target(audiences, resources, KNOWN)
    assert (chosen.name if chosen else None) == target


@pytest.mark.parametrize(
    ("audiences", "resources"),
    [
        (["order", "inventory"], []),
        (["inventory"], ["https://orders.test"]),
        ([], ["https://orders.test", "spiffe://td.test/inventory"]),
        ([], ["https://orders.test", "https://unknown.test"]),
        (["accounting"], []),
        ([], ["https://orders.test/"]),
        ([], ["HTTPS://orders.test"]),
        ([], ["order"]),
    ],
)
def test_several_or_unknown_targets_are_refused(audiences: list[str], resources: list[str]) -> None:
    with pytest.raises(OAuthError, match="invalid_target"):
        choose_target(audiences, resources, KNOWN)


@pytest.mark.parametrize(
    "uri",
    [
        "https://shop.example.com/cb",
        "https://shop.example.com/cb?tenant=1",
        "http://127.0.0.1/cb",
        "http://127.0.0.1:8000/cb",
        "http://[::1]:8000/cb",
        "http://localhost:8000/cb",
        "http://localhost",
        "com.example.app:/cb",
    ],
)
def test_redirect_uris_that_may_be_registered(uri: str) -> None:
    """RFC 6749 section 3.1.2, RFC 8252 sections 7.1 to 7.3."""
    assert is_redirect_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "http://shop.example.com/cb",
        "http://localhost.example.com/cb",
        "http://127.0.0.1.example.com/cb",
        "http://127.0.0.1@example.com/cb",
        "https://user@example.com/cb",
        "https://shop.example.com/cb#x",
        "https://shop.example.com/c b",
        "https://shop.example.com/cb\n",
        "https://",
        "javascript:alert(1)",
        "data:text/html,x",
        "app:/cb",
        "/cb",
        "",
        "http://localhost:x/cb",
    ],
)
def test_redirect_uris_that_may_not(uri: str) -> None:
    """The same sections."""
    assert not is_redirect_uri(uri)


@pytest.mark.parametrize("name", ["client:gateway", "client:", "a:b", "", " alice", "a\n", "ä", "x" * 65, ":"])
def test_a_user_name_never_looks_like_a_client(name: str) -> None:
    assert not is_user_name(name)


def test_plain_names_are_names_and_service_names_are_taken() -> None:
    assert all(is_user_name(name) for name in ("alice", "a.b@example.org", "x" * 64))
    assert is_client_id("counter-app")
    assert not any(is_client_id(name) for name in ("gateway", "order", "inventory", "sts", "operator", "a b"))
