"""axe-core finds nothing on any page, the token service's included, in light and in dark, wide and narrow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tests.chromium.axe import barriers
from tests.chromium.test_shop_connection import Line
from tests.chromium.test_shop_path import kept_paths
from tests.chromium.visitors import DESKTOP, HEADPHONES, PHONE, Visitor, Visitors, unique

Check = Callable[[Visitor, str], None]


class Inspection:
    """Runs axe on page after page, and keeps what it finds."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.looked_at: list[str] = []

    def __call__(self, visitor: Visitor, where: str) -> None:
        self.looked_at.append(where)
        self.found += [f"{where}: {barrier}" for barrier in barriers(visitor.page)]


@pytest.mark.parametrize(("scheme", "size"), [("light", DESKTOP), ("dark", PHONE)])
def test_no_page_has_a_barrier(visitors: Visitors, scheme: Literal["light", "dark"], size: tuple[int, int]) -> None:
    admin = visitors.arrive(size=size, scheme=scheme, bypass_csp=True)
    inspect = Inspection()
    kept_paths(admin)
    look_around_signed_out(admin, inspect)
    admin.sign_in("admin")
    look_at_the_form(admin, inspect)
    look_at_an_order(admin, inspect)
    look_at_the_token_service(admin, inspect)
    look_at_the_api(admin, inspect)
    assert inspect.found == []
    assert len(inspect.looked_at) == 20


def test_the_inspection_finds_barriers(visitors: Visitors) -> None:
    visitor = visitors.arrive(bypass_csp=True)
    inspect = Inspection()
    visitor.page.evaluate("document.querySelector('h1').after(document.createElement('input'))")
    inspect(visitor, "a field without a label")
    assert "label" in inspect.found[0]


def look_at_the_api(visitor: Visitor, inspect: Check) -> None:
    visitor.open("/docs")
    create = visitor.page.locator("#createOrder")
    create.locator("summary").click()
    expect(create).to_contain_text("order-exists")
    expect(visitor.heading("OrderItem")).to_be_visible()
    inspect(visitor, "the API")


def look_around_signed_out(visitor: Visitor, inspect: Check) -> None:
    expect(visitor.main.get_by_role("listitem").first).to_be_visible()
    inspect(visitor, "catalogue")
    visitor.button(f"Add to order {HEADPHONES}").click()
    inspect(visitor, "catalogue with something chosen")
    visitor.tab("Orders").click()
    expect(visitor.heading("Sign in to see your orders")).to_be_visible()
    inspect(visitor, "orders, signed out")
    visitor.open("/#/nowhere")
    expect(visitor.heading("There is nothing here")).to_be_visible()
    inspect(visitor, "nowhere")
    visitor.open("/#/")
    visitor.page.get_by_role("banner").get_by_role("link", name="Sign in").click()
    visitor.page.get_by_label("User name").fill("admin")
    inspect(visitor, "login")
    visitor.page.get_by_label("Password").fill("wrong")
    visitor.button("Sign in").click()
    expect(visitor.heading("That did not work")).to_be_visible()
    inspect(visitor, "login, refused")
    visitor.open("/")


def look_at_the_form(visitor: Visitor, inspect: Check) -> None:
    visitor.tab("New order").click()
    expect(visitor.button("Place the order")).to_be_visible()
    inspect(visitor, "new order")
    visitor.button("Place the order").click()
    expect(visitor.main).to_contain_text("Give the order a name.")
    inspect(visitor, "new order, incomplete")
    visitor.page.get_by_label("Name of the order").fill(unique("Axe"))
    visitor.page.get_by_label(f"Pieces of {HEADPHONES}").fill("99999")
    visitor.button("Place the order").click()
    expect(visitor.heading("The order was not placed")).to_be_visible()
    inspect(visitor, "new order, refused")
    visitor.page.get_by_label(f"Pieces of {HEADPHONES}").fill("1")
    visitor.page.get_by_label("Name of the order").focus()
    Line(visitor, "lost on the way there")
    visitor.button("Place the order").click()
    expect(visitor.heading("Not known yet")).to_be_visible()
    inspect(visitor, "new order, not known")
    visitor.button("Ask now").click()
    expect(visitor.heading("History")).to_be_visible()


def look_at_an_order(visitor: Visitor, inspect: Check) -> None:
    inspect(visitor, "order")
    visitor.notices.get_by_role("button", name="What just happened?").click()
    expect(visitor.heading("What just happened")).to_be_visible()
    inspect(visitor, "what just happened")
    visitor.page.keyboard.press("Escape")
    visitor.button("Cancel the order").click()
    inspect(visitor, "cancel")
    visitor.page.keyboard.press("Escape")
    other = visitor.another_tab()
    other.show(visitor.order_id)
    other.link("Change").click()
    other.page.get_by_label("Name of the order").fill("Axe, theirs")
    visitor.come_forward()
    visitor.link("Change").click()
    expect(visitor.button("Save the changes")).to_be_visible()
    inspect(visitor, "change")
    other.come_forward()
    other.button("Save the changes").click()
    expect(other.notices).to_contain_text("The changes are saved.")
    other.page.close()
    visitor.come_forward()
    visitor.page.get_by_label("Name of the order").fill("Axe, ours")
    visitor.button("Save the changes").click()
    expect(visitor.page.get_by_role("dialog")).to_contain_text("Axe, theirs")
    inspect(visitor, "conflict")
    visitor.button("Save mine over theirs").click()
    expect(visitor.heading("Axe, ours")).to_be_visible()
    visitor.tab("Orders").click()
    expect(visitor.main.get_by_role("listitem").first).to_be_visible()
    inspect(visitor, "orders")


def look_at_the_token_service(visitor: Visitor, inspect: Check) -> None:
    sts = visitor.shop.running.url("sts")
    request = {
        "response_type": "code",
        "client_id": "demo-spa",
        "redirect_uri": "http://127.0.0.1:9/callback",
        "scope": "openid add_order",
        "code_challenge": "x" * 43,
        "code_challenge_method": "S256",
    }
    visitor.page.goto(f"{sts}/oauth2/authorize?{urlencode(request)}")
    expect(visitor.heading("Allow access?")).to_be_visible()
    inspect(visitor, "consent")
    visitor.page.goto(f"{sts}/logout")
    expect(visitor.heading("Sign out?")).to_be_visible()
    inspect(visitor, "logout")
    visitor.page.goto(f"{sts}/login?request=none")
    inspect(visitor, "a page that is over")
