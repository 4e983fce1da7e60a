"""What just happened: the drawing of a request's way, as the gateway keeps it, and of a made-up one with more in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.chromium.visitors import PHONE, Visitor, Visitors, unique

GATEWAY, ORDER = "spiffe://ordermgmt.local/gateway", "spiffe://ordermgmt.local/order"
MARKUP = "<img src=x onerror=window.hit=1>"


def token(kind: str, **members: object) -> dict[str, object]:
    return {"kind": kind, "issuer": "https://localhost", "audience": None, "expires_in": 60} | members


def hop(source: str, target: str, what: str, **members: object) -> dict[str, object]:
    found = {"from": source, "to": target, "what": what, "seconds": 0.01, "cached": None}
    return found | {"identities": {"client": None, "server": None}, "token": None} | members


PATH: dict[str, Any] = {
    "request": {"id": "r1", "method": "POST", "path": "/order", "status": 201, "at": 1000, "seconds": 0.04},
    "hops": [
        hop("browser", "gateway", "asks", token=token("session", checks=[{"name": "cookie", "said": "is known"}])),
        hop("gateway", "sts", "exchanges", cached=False, token=token("opaque")),
        hop(
            "gateway",
            "order",
            f"passes on {MARKUP}",
            identities={"client": GATEWAY, "server": ORDER},
            token=token(
                "jwt",
                header={"alg": "ES256", "typ": "at+jwt"},
                claims={"sub": "alice", "exp": 1060, "act": {"sub": "client:gateway"}, MARKUP: MARKUP},
                checks=[{"name": "aud", "said": "names the order service"}],
            ),
        ),
        hop("order", "inventory", "takes the goods", token=token("jwt")),
    ],
}


def kept_paths(visitor: Visitor) -> None:
    body = json.dumps(PATH)
    visitor.page.route("**/api/path/*", lambda route: route.fulfill(body=body, content_type="application/json"))


@pytest.mark.parametrize("size", [(1280, 800), PHONE], ids=["desktop", "phone"])
def test_the_way_of_the_order_is_drawn(visitors: Visitors, size: tuple[int, int]) -> None:
    alice = visitors.arrive("alice", size=size)
    kept_paths(alice)
    alice.order(unique("Drawn"))
    button = alice.notices.get_by_role("button", name="What just happened?")
    button.click()
    panel = alice.page.get_by_role("dialog", name="What just happened")
    drawing = panel.get_by_role("img")
    expect(drawing).to_have_count(1)
    expect(drawing).to_have_accessible_name(
        "The way of POST /order. Browser to Gateway: asks, with a session cookie, 10 ms."
        " Gateway to Token service: exchanges, with an opaque token, 10 ms."
        f" Gateway to Orders: passes on {MARKUP}, with a JWT, over mutual TLS, 10 ms."
        " Orders to Inventory: takes the goods, with a JWT, 10 ms."
    )
    for text in ("Gateway", "Token service", "Inventory", "opaque token", "JWT"):
        expect(drawing).to_contain_text(text)
    steps = panel.get_by_role("listitem")
    expect(steps).to_have_count(4)
    expect(steps.nth(1)).to_contain_text("new")
    for text in (GATEWAY, ORDER, "ES256", "1060 (60 s later)", "client:gateway", "names the order service", MARKUP):
        expect(steps.nth(2)).to_contain_text(text)
    assert alice.page.evaluate("window.hit") is None
    alice.page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    expect(button).to_be_focused()


def test_nothing_is_offered_where_no_path_is_kept(visitors: Visitors) -> None:
    alice = visitors.arrive()
    alice.page.route("**/api/path/*", lambda route: route.fulfill(status=404, body=""))
    alice.sign_in("alice")
    with alice.page.expect_response("**/api/path/*"):
        alice.order(unique("Not drawn"))
    expect(alice.button("What just happened?")).to_have_count(0)


def test_the_way_that_the_gateway_kept_is_drawn(visitors: Visitors) -> None:
    alice = visitors.arrive("alice")
    alice.order(unique("Kept"))
    alice.notices.get_by_role("button", name="What just happened?").click()
    panel = alice.page.get_by_role("dialog", name="What just happened")
    for way in ("Browser → Gateway", "Gateway → Token service", "Gateway → Orders", "Orders → Inventory"):
        expect(panel.get_by_role("heading", name=way)).to_have_count(1)
    for text in ("at+jwt", "holds order", "client:gateway", "spiffe://ordermgmt.local/inventory", "one commit on disk"):
        expect(panel).to_contain_text(text)
    shown = panel.inner_text()
    assert not [prefix for prefix in ("oma_", "omr_", "eyJ") if prefix in shown]
