"""Signing in and out: across tabs, sites and the back button, and with a draft that is not lost."""

from __future__ import annotations

import socket
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.chromium.visitors import API_SECURITY, HEADPHONES, Shop, Visitor, Visitors, unique
from tests.system.processes import suite


def api_status(visitor: Visitor) -> int:
    return int(visitor.page.evaluate("async () => (await fetch('/api/order')).status"))


def test_signing_out_in_one_tab_ends_the_other(visitors: Visitors) -> None:
    first = visitors.arrive()
    first.sign_in("alice")
    name = unique("Seen")
    first.order(name)
    second = first.another_tab()
    second.tab("Orders").click()
    expect(second.main).to_contain_text(name)
    first.come_forward()
    first.button("Sign out").click()
    expect(second.heading("Sign in to see your orders")).to_be_visible()
    expect(second.main).not_to_contain_text(name)
    expect(second.button("Sign out")).to_have_count(0)
    assert api_status(second) == 401


def test_the_back_button_after_signing_out_shows_nothing_private(visitors: Visitors) -> None:
    alice = visitors.arrive()
    alice.sign_in("alice")
    name = unique("Secret")
    alice.order(name)
    alice.tab("Orders").click()
    expect(alice.main).to_contain_text(name)
    alice.button("Sign out").click()
    alice.page.wait_for_url(lambda url: not url.startswith(f"{alice.origin}/#/orders"))
    for _ in range(4):
        alice.page.go_back(wait_until="commit")
        expect(alice.page.locator("body")).not_to_be_empty()
        alice.page.wait_for_timeout(100)
        assert name not in alice.page.content()
    alice.open("/#/orders")
    expect(alice.heading("Sign in to see your orders")).to_be_visible()
    expect(alice.main).not_to_contain_text(name)


def test_the_panel_of_what_just_happened_ends_with_the_session(visitors: Visitors) -> None:
    alice = visitors.arrive()
    alice.sign_in("alice")
    panel = alice.page.get_by_role("dialog", name="What just happened")
    alice.order(unique("Told"))
    alice.button("What just happened").click()
    expect(panel).to_be_visible()
    alice.page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    assert panel.count() == 0
    alice.page.reload()
    alice.order(unique("Told"))
    alice.button("What just happened").click()
    expect(panel).to_be_visible()
    other = alice.another_tab()
    other.button("Sign out").click()
    expect(panel).to_have_count(0)


def test_a_page_that_the_browser_kept_asks_anew(visitors: Visitors) -> None:
    alice = visitors.arrive("alice")
    name = unique("Kept")
    alice.order(name)
    alice.page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    assert name not in alice.page.get_by_role("main").inner_text()
    alice.page.context.clear_cookies()
    alice.page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    expect(alice.heading("Sign in to see your orders")).to_be_visible()
    assert name not in alice.page.content()


def test_a_session_that_ends_keeps_the_draft_of_its_user(visitors: Visitors) -> None:
    alice = visitors.arrive("alice")
    name = unique("Draft")
    alice.fill_in(name, HEADPHONES)
    alice.page.context.clear_cookies()
    alice.button("Place the order").click()
    expect(alice.main).to_contain_text("You are signed out. Your draft is kept.")
    expect(alice.page.get_by_label("Name of the order")).to_have_value(name)
    alice.sign_in("alice")
    expect(alice.page.get_by_label("Name of the order")).to_have_value(name)
    alice.place()
    assert alice.orders_called(name) == 1


def test_nobody_else_finds_a_draft(visitors: Visitors) -> None:
    visitor = visitors.arrive("alice")
    visitor.fill_in(unique("Mine"), HEADPHONES)
    visitor.page.context.clear_cookies()
    visitor.open("/#/")
    visitor.page.reload()
    visitor.sign_in("bob")
    visitor.tab("New order").click()
    expect(visitor.main).to_contain_text("Nothing yet.")
    expect(visitor.page.get_by_label("Name of the order")).to_have_value("")


def test_what_was_chosen_before_signing_in_is_still_there_afterwards(visitors: Visitors) -> None:
    visitor = visitors.arrive()
    visitor.button(f"Add to order {API_SECURITY}").click()
    visitor.tab("New order").click()
    name = unique("First look")
    visitor.page.get_by_label("Name of the order").fill(name)
    visitor.sign_in("alice")
    expect(visitor.heading("New order")).to_be_visible()
    visitor.place()
    assert visitor.orders_called(name) == 1


def test_signing_in_at_another_site(tmp_path: Path, chromium: Browser) -> None:
    """The token service's name is not the gateway's: the cookies must work on the way there and back all the same."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    changes = {
        "ORDERMGMT_STS_LISTEN": f"127.0.0.1:{port}",
        "ORDERMGMT_STS_PUBLIC_URL": f"https://127.0.0.1:{port}",
    }
    with suite(tmp_path, changes=changes) as running:
        visitors = Visitors(Shop(running), chromium)
        alice = visitors.arrive()
        alice.page.get_by_role("banner").get_by_role("link", name="Sign in").click()
        assert alice.page.url.startswith(f"https://127.0.0.1:{port}/")
        alice.open("/")
        alice.sign_in("alice")
        assert alice.page.url.startswith(alice.origin)
        name = unique("Across")
        alice.order(name)
        alice.page.reload()
        expect(alice.heading(name)).to_be_visible()
        with alice.page.expect_navigation(url=f"{alice.origin}/", wait_until="load"):
            alice.button("Sign out").click()
        expect(alice.page.get_by_role("banner").get_by_role("link", name="Sign in")).to_be_visible()
        assert api_status(alice) == 401
        visitors.close()
        assert visitors.complaints == []


def test_signing_out_that_does_not_work_is_said(visitors: Visitors) -> None:
    alice = visitors.arrive("alice")
    alice.page.route("**/session/logout", lambda route: route.abort("connectionfailed"))
    alice.button("Sign out").click()
    expect(alice.notices).to_contain_text("You are still signed in")
    expect(alice.button("Sign out")).to_be_enabled()
