"""A slow or lost connection, and a shop that is busy: an order is placed once, and its state is always told."""

from __future__ import annotations

import json

from playwright.sync_api import Route, expect

from tests.chromium.visitors import HEADPHONES, Visitor, Visitors, unique

CREATE = "**/api/order"


class Line:
    """What happens to the requests that create orders: one thing after the other, and then nothing special."""

    def __init__(self, visitor: Visitor, *events: int | str) -> None:
        self.events = list(events)
        self.keys: list[str] = []
        visitor.page.route(CREATE, self.handle)

    def handle(self, route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        self.keys.append(route.request.headers["idempotency-key"])
        event = self.events.pop(0) if self.events else "goes on"
        if event == "lost on the way back":
            assert route.fetch().status == 201
            route.abort("connectionfailed")
        elif event == "lost on the way there":
            route.abort("connectionfailed")
        elif isinstance(event, int):
            problem = {"type": "urn:ordermgmt:problem:busy", "title": "Busy", "status": event}
            headers = {"retry-after": "1", "content-type": "application/problem+json"}
            route.fulfill(status=event, body=json.dumps(problem), headers=headers)
        else:
            route.continue_()


def ready(visitors: Visitors, name: str) -> Visitor:
    alice = visitors.arrive("alice")
    alice.fill_in(name, HEADPHONES)
    return alice


def test_an_answer_that_was_lost_ends_with_one_order(visitors: Visitors) -> None:
    name = unique("Lost")
    alice = ready(visitors, name)
    line = Line(alice, "lost on the way back", "lost on the way there")
    alice.button("Place the order").click()
    expect(alice.heading("Not known yet")).to_be_visible()
    expect(alice.main).to_contain_text("Whether it was done is not known yet.")
    expect(alice.main).to_contain_text("so nothing is done twice")
    expect(alice.page.get_by_label("Name of the order")).to_be_disabled()
    expect(alice.page.get_by_role("alert")).to_contain_text("not known yet")
    expect(alice.notices).to_contain_text("Your order is placed.")
    assert len(line.keys) == 3
    assert len(set(line.keys)) == 1
    assert alice.orders_called(name) == 1
    assert alice.page.evaluate("sessionStorage.length") == 0


def test_a_reload_takes_up_what_is_not_known(visitors: Visitors) -> None:
    name = unique("Reload")
    alice = ready(visitors, name)
    line = Line(alice, "lost on the way back", *["lost on the way there"] * 2)
    alice.button("Place the order").click()
    expect(alice.heading("Not known yet")).to_be_visible()
    alice.page.reload()
    expect(alice.notices).to_contain_text("Your order is placed.")
    assert len(line.keys) >= 3
    assert len(set(line.keys)) == 1
    assert alice.orders_called(name) == 1


def test_a_session_that_ends_meanwhile_does_not_make_it_two(visitors: Visitors) -> None:
    name = unique("Signed out")
    alice = ready(visitors, name)
    line = Line(alice, "lost on the way back")
    alice.button("Place the order").click()
    expect(alice.heading("Not known yet")).to_be_visible()
    alice.page.context.clear_cookies()
    expect(alice.main).to_contain_text("Sign in again to learn it.")
    alice.sign_in("alice")
    expect(alice.notices).to_contain_text("Your order is placed.")
    assert len(set(line.keys)) == 1
    assert alice.orders_called(name) == 1


def test_a_busy_shop_is_asked_again(visitors: Visitors) -> None:
    name = unique("Busy")
    alice = ready(visitors, name)
    line = Line(alice, 503, 429, 504)
    alice.button("Place the order").click()
    expect(alice.heading("Not placed yet")).to_be_visible()
    expect(alice.main).to_contain_text("The shop is busy or restarts. Nothing was done.")
    expect(alice.main).to_contain_text("We try again")
    alice.button("Ask now").click()
    expect(alice.main).to_contain_text("There were too many requests from here. Nothing was done.")
    alice.button("Ask now").click()
    expect(alice.main).to_contain_text("The shop took too long. Whether it was done is not known yet.")
    alice.button("Ask now").click()
    expect(alice.notices).to_contain_text("Your order is placed.")
    assert len(line.keys) == 4
    assert alice.orders_called(name) == 1


def test_what_was_surely_not_done_can_be_stopped(visitors: Visitors) -> None:
    name = unique("Stopped")
    alice = ready(visitors, name)
    line = Line(alice, 503)
    alice.button("Place the order").click()
    alice.button("Stop trying").click()
    expect(alice.page.get_by_label("Name of the order")).to_be_enabled()
    alice.place()
    assert len(set(line.keys)) == 2
    assert alice.orders_called(name) == 1


def test_it_goes_on_by_itself_when_the_network_is_back(visitors: Visitors) -> None:
    name = unique("Tunnel")
    alice = ready(visitors, name)
    alice.page.context.set_offline(True)
    expect(alice.notices).to_contain_text("You are offline.")
    alice.button("Place the order").click()
    expect(alice.main).to_contain_text("You are offline. Whether it was done is not known yet.")
    alice.tab("Catalogue").click()
    expect(alice.notices).to_contain_text(f"“{name}” is on its way.")
    alice.page.context.set_offline(False)
    expect(alice.notices).not_to_contain_text("is on its way")
    assert alice.orders_called(name) == 1


def test_a_list_that_cannot_be_loaded_says_so(visitors: Visitors) -> None:
    alice = visitors.arrive("alice")
    alice.page.route("**/api/order?*", lambda route: route.fulfill(status=503, body=""))
    alice.tab("Orders").click()
    expect(alice.main).to_contain_text("The shop is busy or restarts. The orders could not be loaded.")
    alice.page.unroute("**/api/order?*")
    alice.button("Try again").click()
    expect(alice.page.get_by_role("status")).to_contain_text("shown.")
    expect(alice.button("Try again")).to_have_count(0)
