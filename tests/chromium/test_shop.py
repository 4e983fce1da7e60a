"""The shop as its users see it: ordering, seeing, changing, and what belongs to whom."""

from __future__ import annotations

import re

from playwright.sync_api import Request, expect

from tests.chromium.visitors import API_SECURITY, HEADPHONES, HEADPHONES_PATH, MACBOOK, PHONE, Visitors, unique


def test_alice_orders_and_everybody_sees_the_stock_fall(visitors: Visitors) -> None:
    before = visitors.shop.stock(HEADPHONES_PATH)
    passer_by = visitors.arrive()
    card = passer_by.page.get_by_role("listitem").filter(has_text=HEADPHONES)
    expect(card).to_contain_text(f"{before} in stock")
    expect(card).to_contain_text("$349.99")
    alice = visitors.arrive("alice", size=PHONE)
    name = unique("Music")
    alice.fill_in(name, HEADPHONES, API_SECURITY)
    alice.button(f"One more of {HEADPHONES}").click()
    expect(alice.main).to_contain_text("Total $715.37")
    alice.place()
    expect(alice.heading(name)).to_be_focused()
    expect(alice.main).to_contain_text("Ordered by Alice (alice) through gateway")
    expect(alice.button("Cancel the order")).to_have_count(0)
    assert visitors.shop.stock(HEADPHONES_PATH) == before - 2
    expect(card).to_contain_text(f"{before - 2} in stock")
    expect(passer_by.page.get_by_role("status")).to_contain_text(f"{HEADPHONES}: {before - 2} left.")
    alice.tab("Orders").click()
    expect(alice.heading("My orders")).to_be_focused()
    expect(alice.main.get_by_role("listitem").first).to_contain_text(name)


def test_bob_sees_none_of_it_and_may_change_nothing(visitors: Visitors) -> None:
    alice = visitors.arrive("alice")
    name = unique("Private")
    order_id = alice.order(name)
    bob = visitors.arrive("bob")
    bob.tab("Orders").click()
    expect(bob.page.get_by_role("status")).to_contain_text("shown.")
    expect(bob.main).not_to_contain_text(name)
    bob.open(f"/#/orders/{order_id}")
    expect(bob.main).to_contain_text("The history is shown to whose order it is.")
    expect(bob.button("Cancel the order")).to_have_count(0)
    expect(bob.link("Change")).to_have_count(0)
    for method in ("PUT", "DELETE"):
        status = bob.page.evaluate(
            "async ([method, path]) => (await fetch(path, {method, body: '{}', headers:"
            " {'x-csrf': '1', 'content-type': 'application/json'}})).status",
            [method, f"/api/order/{order_id}"],
        )
        assert status == 403


def test_the_administrator_changes_and_cancels(visitors: Visitors) -> None:
    before = visitors.shop.stock(HEADPHONES_PATH)
    admin = visitors.arrive("admin")
    name = unique("Stage")
    order_id = admin.order(name)
    admin.link("Change").click()
    admin.button(f"One more of {HEADPHONES}").click()
    admin.page.get_by_label("Add an item").select_option(label=MACBOOK)
    admin.button("Add").click()
    admin.page.get_by_label("Name of the order").fill(f"{name}, larger")
    admin.button("Save the changes").click()
    expect(admin.notices).to_contain_text("The changes are saved.")
    expect(admin.heading(f"{name}, larger")).to_be_visible()
    expect(admin.main).to_contain_text("Changed by Administrator (admin)")
    assert visitors.shop.stock(HEADPHONES_PATH) == before - 2
    admin.button("Cancel the order").click()
    expect(admin.button("Keep the order")).to_be_focused()
    admin.page.keyboard.press("Escape")
    expect(admin.button("Cancel the order")).to_be_focused()
    assert visitors.shop.stock(HEADPHONES_PATH) == before - 2
    admin.button("Cancel the order").click()
    admin.page.get_by_role("dialog").get_by_role("button", name="Cancel the order").click()
    expect(admin.notices).to_contain_text("is cancelled")
    assert visitors.shop.stock(HEADPHONES_PATH) == before
    admin.open(f"/#/orders/{order_id}")
    expect(admin.main).to_contain_text("There is no order with this number.")


def test_two_tabs_that_change_one_order_see_each_other(visitors: Visitors) -> None:
    first = visitors.arrive("admin")
    name = unique("Both")
    order_id = first.order(name)
    second = first.another_tab()
    second.open(f"/#/orders/{order_id}/edit")
    second.page.get_by_label("Name of the order").wait_for()
    first.come_forward()
    first.link("Change").click()
    first.page.get_by_label("Name of the order").fill(f"{name} theirs")
    first.button("Save the changes").click()
    expect(first.notices).to_contain_text("The changes are saved.")
    second.come_forward()
    second.page.get_by_label("Name of the order").fill(f"{name} ours")
    second.button(f"One more of {HEADPHONES}").click()
    second.button("Save the changes").click()
    dialog = second.page.get_by_role("dialog", name="Somebody else has changed this order")
    expect(dialog.get_by_role("row", name="Name")).to_contain_text(f"{name}{name} theirs{name} ours")
    expect(dialog.get_by_role("row", name=HEADPHONES)).to_contain_text("112")
    dialog.get_by_role("button", name="Take theirs").click()
    expect(second.page.get_by_label("Name of the order")).to_have_value(f"{name} theirs")
    expect(second.page.get_by_label(f"Pieces of {HEADPHONES}")).to_have_value("1")
    second.page.get_by_label("Name of the order").fill(f"{name} once more")
    second.button("Save the changes").click()
    expect(second.heading(f"{name} once more")).to_be_visible()


def test_a_change_by_somebody_else_is_seen_by_whoever_looks(visitors: Visitors) -> None:
    alice, admin = visitors.arrive("alice"), visitors.arrive("admin")
    name = unique("Watched")
    order_id = alice.order(name)
    asked: list[Request] = []
    alice.page.on("request", lambda request: asked.append(request) if "/api/" not in request.url else None)
    expect(alice.main.get_by_role("listitem").filter(has_text="Changed")).to_have_count(0)
    admin.show(order_id)
    admin.link("Change").click()
    admin.page.get_by_label("Name of the order").fill(f"{name} by admin")
    admin.button("Save the changes").click()
    expect(admin.notices).to_contain_text("The changes are saved.")
    alice.come_forward()
    expect(alice.heading(f"{name} by admin")).to_be_visible()
    expect(alice.main.get_by_role("listitem").filter(has_text="Changed")).to_have_count(1)
    expect(alice.main).to_contain_text("This order was changed meanwhile. You see it as it is now.")
    polls = [request for request in asked if request.url.endswith(f"/order/{order_id}")]
    assert polls
    assert all("if-none-match" in request.all_headers() for request in polls)
    assert not any("cookie" in request.all_headers() for request in polls)


def test_an_old_view_overwrites_and_cancels_only_when_told_to(visitors: Visitors) -> None:
    first = visitors.arrive("admin")
    name = unique("Old")
    order_id = first.order(name)
    second = first.another_tab()
    second.open(f"/#/orders/{order_id}/edit")
    second.page.get_by_label("Name of the order").fill(f"{name} second")
    first.come_forward()
    first.link("Change").click()
    first.page.get_by_label("Name of the order").fill(f"{name} first")
    first.button("Save the changes").click()
    expect(first.heading(f"{name} first")).to_be_visible()
    # It does not hear of what comes now.
    first.page.route(re.compile(rf"^{re.escape(first.origin)}/order/"), lambda route: route.abort("connectionfailed"))
    second.come_forward()
    second.button("Save the changes").click()
    second.button("Save mine over theirs").click()
    expect(second.heading(f"{name} second")).to_be_visible()
    first.come_forward()
    first.button("Cancel the order").click()
    first.page.get_by_role("dialog").get_by_role("button", name="Cancel the order").click()
    again = first.page.get_by_role("dialog", name="Somebody else has changed this order")
    expect(again).to_contain_text(f"{name} second")
    again.get_by_role("button", name="Cancel it nevertheless").click()
    expect(first.notices).to_contain_text(f"“{name} second” is cancelled.")


def test_what_cannot_be_ordered_is_said_with_a_way_out(visitors: Visitors) -> None:
    alice = visitors.arrive("alice")
    name = unique("Too many")
    left = visitors.shop.stock(HEADPHONES_PATH)
    alice.fill_in(name, HEADPHONES)
    pieces = alice.page.get_by_label(f"Pieces of {HEADPHONES}")
    pieces.fill(str(left + 1))
    pieces.press("Tab")
    expect(alice.main).to_contain_text(f"Only {left} left.")
    alice.button("Place the order").click()
    expect(alice.heading("The order was not placed")).to_be_focused()
    expect(alice.main).to_contain_text(f"You asked for {left + 1} of {HEADPHONES}; only {left} are left.")
    alice.button(f"Take the {left} that are left").click()
    expect(pieces).to_have_value(str(left))
    pieces.fill("1")
    alice.page.get_by_label("Order number").fill(name.replace(" ", "-"))
    alice.place()
    alice.fill_in(f"{name} again", HEADPHONES)
    alice.page.get_by_label("Order number").fill(name.replace(" ", "-"))
    alice.button("Place the order").click()
    expect(alice.main).to_contain_text("There is an order with this number already.")
    assert alice.orders_called(f"{name} again") == 0
    alice.page.get_by_label("Order number").fill("")
    alice.page.get_by_label("Name of the order").fill("")
    alice.button("Place the order").click()
    expect(alice.page.get_by_label("Name of the order")).to_be_focused()
    expect(alice.main).to_contain_text("Give the order a name.")


def test_the_list_goes_on_as_one_scrolls(visitors: Visitors) -> None:
    alice = visitors.arrive("alice")
    name = unique("Many")
    made = alice.page.evaluate(
        """async (name) => {
          const items = [{category: "electronics", code: "SOWH1000XM4", qty: 1}];
          let made = 0;
          for (let place = 0; place < 25; place += 1) {
            const body = JSON.stringify({name: `${name} ${place}`, items});
            const headers = {"x-csrf": "1", "content-type": "application/json"};
            const answer = await fetch("/api/order", {method: "POST", body, headers});
            made += answer.status === 201;
          }
          return made;
        }""",
        name,
    )
    assert made == 25
    alice.tab("Orders").click()
    cards = alice.main.get_by_role("listitem").filter(has_text=name)
    expect(cards).to_have_count(20)
    expect(cards.first).to_contain_text(f"{name} 24")
    alice.button("Show older orders").focus()
    alice.page.keyboard.press("Enter")
    expect(cards).to_have_count(25)
    expect(cards.last).to_contain_text(f"{name} 0")
