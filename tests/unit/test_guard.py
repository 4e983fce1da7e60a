"""Policies of routes, bearer tokens, challenges and the callers of a listener that asks for certificates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from quart import Blueprint
from quart_trio import QuartTrio

from ordermgmt.errors import StartError, Unauthenticated
from ordermgmt.security.bearer import bearer_token
from ordermgmt.security.guard import Guard, Public, Require, public, require, require_caller
from ordermgmt.security.peer import Peer
from tests.unit.guard_setup import GOOD, PEER, Answer, Door, ask, guarded, sample_app


def check_refused(answer: Answer, status: int, challenge: str) -> None:
    """Status, challenge, and nothing else that could tell anything (RFC 6750 section 3)."""
    assert (answer.status, answer.headers.get("www-authenticate"), answer.body) == (status, challenge, b"")
    assert answer.headers["content-length"] == "0"
    assert "content-type" not in answer.headers


async def test_without_a_token_the_challenge_says_only_what_to_present() -> None:
    check_refused(await ask(guarded(Door()), "GET", "/plain"), 401, 'Bearer realm="order"')


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
async def test_a_token_is_accepted_whatever_the_case_of_its_scheme(scheme: str) -> None:
    door = Door()
    answer = await ask(guarded(door), "GET", "/plain", f"{scheme} {GOOD}")
    assert (answer.status, answer.body) == (200, b"alice")
    assert door.asked == [(GOOD, None)]


@pytest.mark.parametrize(
    "authorization",
    [
        ["Bearer wrong"],
        [f"Bearer {GOOD}", f"Bearer {GOOD}"],
        [f"Bearer {GOOD}", "Basic YTpi"],
        [f"Bearer {GOOD}, Bearer {GOOD}"],
        [f"Bearer {GOOD} x"],
        [f"Bearer {GOOD}\x85"],
        [f"Bearer {GOOD}é"],
        [f'Bearer "{GOOD}"'],
        ["Bearer "],
        ["Bearer"],
        ["Bearer =="],
        ["Bearer " + "a" * 8300],
    ],
)
async def test_anything_wrong_with_a_token_is_invalid_token(authorization: list[str]) -> None:
    answer = await ask(guarded(Door()), "GET", "/plain", *authorization)
    check_refused(answer, 401, 'Bearer realm="order", error="invalid_token"')


@pytest.mark.parametrize(
    "other", ["Basic YTpi", "DPoP abc", "Bearer_ abc", "xBearer abc", f"Bearer\t{GOOD}", "", "\xb5"]
)
async def test_another_scheme_is_as_good_as_nothing(other: str) -> None:
    check_refused(await ask(guarded(Door()), "GET", "/plain", other), 401, 'Bearer realm="order"')


async def test_a_token_in_the_query_or_the_body_is_not_looked_at() -> None:
    door = Door("add_order")
    app = guarded(door)
    check_refused(await ask(app, "POST", f"/order?access_token={GOOD}"), 401, 'Bearer realm="order"')
    assert door.asked == [(None, None)]


async def test_a_missing_scope_is_named() -> None:
    answer = await ask(guarded(Door("xadd_order")), "POST", "/order", f"Bearer {GOOD}")
    check_refused(answer, 403, 'Bearer realm="order", error="insufficient_scope", scope="add_order"')


async def test_every_scope_is_needed() -> None:
    expected = 'Bearer realm="order", error="insufficient_scope", scope="a b"'
    for scopes in (["a"], ["b"], []):
        check_refused(await ask(guarded(Door(*scopes)), "GET", "/both", f"Bearer {GOOD}"), 403, expected)
    assert (await ask(guarded(Door("a", "b", "c")), "GET", "/both", f"Bearer {GOOD}")).status == 200


async def test_a_public_route_looks_at_no_token() -> None:
    door = Door()
    app = guarded(door, callers={})
    for authorization in ([], ["Bearer wrong"], [f"Bearer {GOOD}"], ["x", "y"]):
        for method in ("GET", "HEAD", "POST"):
            assert (await ask(app, method, "/open", *authorization)).status == 200
    assert door.asked == []


async def test_a_public_view_that_asks_for_a_principal_is_a_fault() -> None:
    assert (await ask(guarded(Door()), "GET", "/nobody", f"Bearer {GOOD}")).status == 500


async def test_head_is_guarded_as_get_is() -> None:
    app = guarded(Door("a", "b"))
    assert (await ask(app, "HEAD", "/both")).status == 401
    assert (await ask(app, "HEAD", "/both", f"Bearer {GOOD}")).status == 200


async def test_what_does_not_exist_is_not_found_and_options_are_not_answered() -> None:
    app = guarded(Door())
    assert (await ask(app, "GET", "/none")).status == 404
    assert (await ask(app, "OPTIONS", "/order")).status == 405
    assert (await ask(app, "DELETE", "/order")).status == 405


async def test_a_view_s_own_refusal_gets_a_challenge_too() -> None:
    answer = await ask(guarded(Door()), "GET", "/refusing", f"Bearer {GOOD}")
    check_refused(answer, 403, 'Bearer realm="order", error="insufficient_scope", scope="read_all_orders"')


async def test_keys_that_cannot_be_had_are_not_the_caller_s_fault() -> None:
    assert (await ask(guarded(Door()), "GET", "/plain", "Bearer away")).status == 503


async def test_a_route_added_after_the_guard_is_refused() -> None:
    app = guarded(Door(), default=Public())

    @app.get("/late")
    @public
    async def late() -> str:
        return "late"

    assert (await ask(app, "GET", "/late", f"Bearer {GOOD}")).status == 403


CALLERS = {"order": frozenset({"add_order"}), "gateway": frozenset[str]()}


async def test_a_caller_needs_a_certificate_that_is_named_and_its_own_bound_token() -> None:
    app = guarded(Door("add_order", bound=True, client_id="order"), callers=CALLERS)
    assert (await ask(app, "POST", "/order", f"Bearer {GOOD}", peer=PEER)).status == 201


@pytest.mark.parametrize("peer", [None, Peer(None, None, "thumb"), Peer("sts", "spiffe://example/sts", "thumb")])
async def test_a_caller_that_is_not_in_the_table_is_forbidden(peer: Peer | None) -> None:
    door = Door("add_order", bound=True, client_id="sts")
    answer = await ask(guarded(door, callers=CALLERS), "POST", "/order", f"Bearer {GOOD}", peer=peer)
    check_refused(answer, 403, 'Bearer realm="order", error="insufficient_scope"')
    assert door.asked == []


async def test_a_caller_may_use_no_more_than_its_row_even_with_the_scope_in_its_token() -> None:
    door = Door("add_order", bound=True, client_id="gateway")
    app = guarded(door, callers=CALLERS)
    peer = Peer("gateway", "spiffe://example/gateway", "thumb")
    assert (await ask(app, "GET", "/plain", f"Bearer {GOOD}", peer=peer)).status == 200
    assert (await ask(app, "POST", "/order", f"Bearer {GOOD}", peer=peer)).status == 403


@pytest.mark.parametrize(
    "door",
    [
        Door("add_order", bound=False, client_id="order"),
        Door("add_order", bound=True, client_id="gateway"),
        Door("add_order", bound=True, client_id=None),
    ],
)
async def test_a_caller_s_token_must_be_bound_and_its_own(door: Door) -> None:
    answer = await ask(guarded(door, callers=CALLERS), "POST", "/order", f"Bearer {GOOD}", peer=PEER)
    check_refused(answer, 401, 'Bearer realm="order", error="invalid_token"')


def followed(**options: Any) -> QuartTrio:
    app = sample_app()

    @app.get("/follow")
    @require_caller("read_it")
    async def follow() -> str:
        return "followed"

    Guard(Require(), Door(), "order", **options).protect(app)
    return app


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        (PEER, 200),
        (None, 403),
        (replace(PEER, name=None), 403),
        (replace(PEER, name="gateway"), 403),
        (replace(PEER, name="stranger"), 403),
    ],
)
async def test_a_certificate_alone_may_be_enough_for_a_view(peer: Peer | None, status: int) -> None:
    callers = {"caller": frozenset({"read_it"}), "gateway": frozenset({"read_else"})}
    app = followed(callers=callers | {PEER.name or "": frozenset({"read_it"})}, bound=False)
    answer = await ask(app, "GET", "/follow", peer=peer)
    assert answer.status == status
    assert (answer.body == b"followed") == (status == 200)


async def test_other_views_of_such_a_listener_ask_for_no_certificate() -> None:
    app = followed(callers={"x": frozenset({"read_it"})}, bound=False)
    assert (await ask(app, "GET", "/plain", f"Bearer {GOOD}", peer=None)).status == 200


async def test_without_a_table_no_certificate_is_enough() -> None:
    assert (await ask(followed(), "GET", "/follow", peer=PEER)).status == 403


def with_static(app: QuartTrio) -> None:
    app.add_url_rule("/static/<path:filename>", "static", app.send_static_file)


def with_options(app: QuartTrio) -> None:
    app.add_url_rule("/auto", "auto", public(page), provide_automatic_options=True)


def with_blueprint_files(app: QuartTrio) -> None:
    app.register_blueprint(Blueprint("files", __name__, static_folder="files", static_url_path="/files"))


def with_websocket(app: QuartTrio) -> None:
    app.add_websocket("/ws", "ws", public(page))


def with_twin(app: QuartTrio) -> None:
    app.add_url_rule("/order", "twin", public(page), methods=["POST"])


async def page() -> str:
    return "page"


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (with_static, "/static/<path:filename>"),
        (with_options, "/auto"),
        (with_blueprint_files, "/files/<path:filename>"),
        (with_websocket, "/ws"),
        (with_twin, "POST /order"),
    ],
)
async def test_a_route_that_cannot_be_guarded_stops_the_start(spoil: Callable[[QuartTrio], None], named: str) -> None:
    app = sample_app()
    spoil(app)
    with pytest.raises(StartError, match=named.replace("<", ".")):
        Guard(Require(), Door(), "order").protect(app)


async def test_a_route_without_a_policy_stops_the_start() -> None:
    with pytest.raises(StartError, match="GET HEAD /plain has no policy"):
        guarded(Door(), default=None)


@pytest.mark.parametrize("scope", ["", "a b", 'a"b', "a\n"])
def test_a_scope_that_no_token_can_have_is_a_mistake(scope: str) -> None:
    with pytest.raises(ValueError, match="scope"):
        require(scope)


async def test_the_log_has_the_reason_and_never_the_token(capsys: pytest.CaptureFixture[str]) -> None:
    await ask(guarded(Door()), "GET", "/plain", "Bearer secret-token")
    written = capsys.readouterr()
    text = written.out + written.err
    assert "bad-signature" in text
    assert "a detail" in text
    assert "secret-token" not in text


def test_no_header_is_no_token() -> None:
    assert bearer_token([]) is None


def test_credentials_are_measured_before_they_are_read() -> None:
    assert bearer_token(["Bearer " + "a" * 8192]) == "a" * 8192
    with pytest.raises(Unauthenticated, match="token-too-large"):
        bearer_token(["Bearer " + "a" * 8300])
