"""The operator's page in a real browser: what it shows, to whom, how soon, and what can be done on it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

from tests.chromium.axe import barriers
from tests.chromium.visitors import DESKTOP, PHONE, new_profile
from tests.log_lines import select
from tests.system.processes import SuiteProcess, suite

SERVICES = ("sts", "inventory", "order", "gateway")
SEEN_WITHIN = 1.0
"""Seconds from the end of a process until the page says so."""
PATIENCE_MS = 20_000

expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Desk:
    """People who look at a suite of processes, each in a browser profile of its own."""

    running: SuiteProcess
    chromium: Browser
    complaints: list[str] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)

    def open(
        self,
        user: str = "",
        *,
        size: tuple[int, int] = DESKTOP,
        scheme: Literal["light", "dark"] = "light",
        bypass_csp: bool = False,
    ) -> Page:
        """Open the page, and sign in there as a demo user if one is named. `bypass_csp` is for tools put into it."""
        context = new_profile(self.chromium, size, scheme, bypass_csp=bypass_csp)
        context.set_default_timeout(PATIENCE_MS)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("console", self._listen)
        page = context.new_page()
        self.pages.append(page)
        page.goto(self.running.url("gateway", "/operate"))
        if user:
            self.sign_in(page, user)
        return page

    def sign_in(self, page: Page, user: str) -> None:
        """Go to the token service and come back."""
        page.get_by_role("link", name="Sign in").click()
        page.get_by_label("User name").fill(user)
        page.get_by_label("Password").fill(self.password(user))
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_title("Operations")

    def password(self, user: str) -> str:
        """Return the password of a demo user."""
        lines = (self.running.folder / "var" / "demo-credentials").read_text().splitlines()
        return next(secret for kind, name, secret in map(str.split, lines) if (kind, name) == ("user", user))

    def pid(self, service: str) -> int:
        """Return the process of a service."""
        return int(json.loads(self.running.readiness())["services"][service]["pid"])

    def close(self) -> None:
        """End all profiles."""
        for page in self.pages:
            page.context.close()

    def _listen(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.complaints.append(message.text)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteProcess]:
    """A suite of processes that may be killed."""
    with suite(tmp_path_factory.mktemp("operate"), "--processes") as started:
        yield started


@pytest.fixture
def desk(running: SuiteProcess, chromium: Browser) -> Iterator[Desk]:
    """Opens pages. None may have failed by itself, or tried what its policy forbids."""
    made = Desk(running, chromium)
    yield made
    made.close()
    assert made.complaints == []


def row(page: Page, table: str, name: str) -> Locator:
    """Return the row of a table by what stands in it."""
    return page.locator(f".{table} tbody tr").filter(has_text=name)


def test_an_operator_sees_services_requests_and_stock(desk: Desk) -> None:
    admin = desk.open("admin")
    for name in SERVICES:
        expect(row(admin, "services", name).locator(".chip")).to_have_text("● running")
    expect(admin.locator("#headline")).to_contain_text("Everything runs.")
    expect(row(admin, "edges", "clients → gateway").locator("svg")).to_have_count(3)
    expect(admin.get_by_role("img", name="The services and the requests between them")).to_be_visible()
    expect(admin.locator("#accounts .note")).to_contain_text("They agree")
    expect(row(admin, "accounts", "SOWH1000XM4")).to_be_visible()
    expect(row(admin, "issuers", "order")).to_contain_text("ago")
    expect(row(admin, "certificates", "authority")).to_contain_text("days")
    expect(row(admin, "trust", "manage_inventory")).to_contain_text("operator")
    moving = "[...document.querySelectorAll('.edge-flow')].filter((line) => getComputedStyle(line).display !== 'none')"
    assert admin.evaluate(f"{moving}.length") == 0, "nothing may move for those who do not want it"
    admin.emulate_media(reduced_motion="no-preference")
    assert admin.evaluate(f"{moving}.length") > 0


def test_others_are_told_that_it_is_not_for_them(desk: Desk) -> None:
    counter = desk.open("counter")
    expect(counter.get_by_role("heading", name="This page is for operators")).to_be_visible()
    expect(counter.locator("#board")).to_be_hidden()


def test_the_key_is_rotated_with_the_keyboard_alone(desk: Desk) -> None:
    admin = desk.open("admin")
    keys, button = admin.locator("#keys"), admin.get_by_role("button", name="Rotate the signing key")
    expect(keys.locator(".chip")).to_have_text(["● active"])
    button.focus()
    for leave in ("Escape", "Enter"):  # the safe answer has the focus
        admin.keyboard.press("Enter")
        expect(admin.get_by_role("dialog", name="Rotate the signing key?")).to_be_visible()
        admin.keyboard.press(leave)
        expect(admin.get_by_role("dialog")).to_have_count(0)
        expect(button).to_be_focused()
    expect(keys.locator(".chip")).to_have_text(["● active"])
    admin.keyboard.press("Enter")
    admin.keyboard.press("Tab")
    admin.keyboard.press("Enter")
    expect(keys.locator(".chip", has_text="next")).to_be_visible()
    expect(button).to_be_focused()
    expect(admin.get_by_role("status")).to_contain_text("is published, and signs from")
    assert select(desk.running.log, "audit", action="rotate-signing-key")


def test_a_session_that_is_ended_is_over_in_its_browser(desk: Desk) -> None:
    alice = desk.open("alice")
    expect(alice.get_by_role("heading", name="This page is for operators")).to_be_visible()
    assert alice.evaluate("async () => (await fetch('/api/order')).status") == 200
    admin = desk.open("admin")
    button = row(admin, "sessions", "alice").get_by_role("button")
    button.click()
    expect(admin.get_by_role("dialog", name="End a session of alice?")).to_contain_text("gateway")
    admin.get_by_role("dialog").get_by_role("button", name="End the session").click()
    expect(row(admin, "sessions", "alice")).to_have_count(0)
    expect(admin.locator("#events")).to_contain_text("The session of alice is over.")
    # What the gateway let in before goes on for a minute at most.
    assert select(desk.running.log, "audit", action="revoke-session")


def test_a_change_without_an_outcome_is_shown_and_retried(desk: Desk) -> None:
    admin = desk.open("admin")
    inventory = desk.pid("inventory")
    os.kill(inventory, signal.SIGSTOP)
    try:
        items = [{"category": "electronics", "code": "SOWH1000XM4", "qty": 1}]
        admin.evaluate(
            """(order) => void fetch("/api/order", {
              method: "POST", body: JSON.stringify(order), headers: {"content-type": "application/json", "x-csrf": "1"},
            })""",
            {"id": "kept-waiting", "name": "Kept waiting", "items": items},
        )
        place = row(admin, "journal", "kept-waiting")
        expect(place.locator(".chip")).to_contain_text("pending")
        place.get_by_role("button", name="Retry create of order kept-waiting").click()
        admin.get_by_role("dialog", name="Retry this create?").get_by_role("button", name="Retry it").click()
        expect(admin.locator("#events")).to_contain_text("The create of order kept-waiting is tried again.")
        assert select(desk.running.log, "audit", action="retry-operation")
    finally:
        os.kill(inventory, signal.SIGCONT)
    expect(admin.locator("#journal")).to_contain_text("Every change of an order has its outcome.")
    assert admin.evaluate("async () => (await fetch('/api/order/kept-waiting')).status") == 200


def test_signing_out_is_said_to_other_tabs_and_empties_the_page(desk: Desk) -> None:
    admin = desk.open("admin")
    expect(row(admin, "services", "order")).to_be_visible()
    other = admin.context.new_page()
    other.goto(admin.url)
    expect(row(other, "services", "order")).to_be_visible()
    admin.bring_to_front()
    admin.route("**/session/logout", lambda route: route.abort("connectionfailed"))
    admin.get_by_role("button", name="Sign out").click()
    expect(admin.locator("#notices")).to_contain_text("You are still signed in")
    expect(admin.get_by_role("button", name="Sign out")).to_be_enabled()
    admin.unroute("**/session/logout")
    other.route("**/api/**", lambda route: route.abort("connectionfailed"))  # it hears of the end from the other tab
    admin.get_by_role("button", name="Sign out").click()
    expect(other.get_by_role("heading", name="Sign in to see how the system does")).to_be_visible()
    expect(other.locator("#services")).to_be_empty()
    expect(other.locator("#account")).to_be_empty()


def test_a_page_that_the_browser_keeps_holds_nothing(desk: Desk) -> None:
    admin = desk.open("admin")
    expect(row(admin, "services", "order")).to_be_visible()
    admin.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    assert admin.locator("#board tr").count() == 0
    assert admin.locator("#drawing, #headline, #account").all_inner_texts() == ["", "", ""]
    admin.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    expect(row(admin, "services", "order")).to_be_visible()


def test_a_killed_service_is_shown_within_a_second_and_so_is_its_return(desk: Desk) -> None:
    operator = desk.open("admin")
    took = []
    for name in ("inventory", "order", "sts"):
        place = row(operator, "services", name)
        expect(place.locator(".chip.good")).to_be_visible()
        pid = desk.pid(name)
        watching = operator.evaluate_handle(
            """(name) => ({seen: new Promise((resolve) => {
              const look = () => {
                const found = [...document.querySelectorAll("#services tbody tr")]
                  .find((row) => row.querySelector("th").textContent === name);
                if (found.querySelector(".chip.good")) requestAnimationFrame(look);
                else resolve([performance.timeOrigin + performance.now(), found.textContent]);
              };
              look();
            })})""",
            name,
        )
        killed = time.time()  # both clocks are this machine's
        os.kill(pid, signal.SIGKILL)
        at, text = operator.evaluate("(watching) => watching.seen", watching)
        took.append(at / 1000 - killed)
        assert "running" not in text
        expect(place.locator(".chip.good")).to_be_visible()
        expect(place).to_contain_text(f"its process {pid} was ended by SIGKILL")
        expect(operator.locator("#events")).to_contain_text(f"{name} runs again, after restart 1")
        assert desk.pid(name) != pid
    assert median(took) < SEEN_WITHIN, took


def test_a_gateway_that_is_killed_makes_the_page_say_that_it_is_old(desk: Desk) -> None:
    operator = desk.open("admin")
    live = operator.locator("#live")
    expect(live).to_have_text("Live, twice a second")
    gateway = desk.pid("gateway")
    os.kill(gateway, signal.SIGSTOP)  # else another one may answer before the page misses it
    expect(live).to_contain_text("No answer from the gateway")
    expect(operator.locator("#headline")).to_contain_text("The gateway does not answer")
    expect(row(operator, "services", "gateway").locator(".chip")).to_have_text("✕ does not answer")
    os.kill(gateway, signal.SIGKILL)
    expect(live).to_have_text("Live, twice a second")
    expect(row(operator, "services", "gateway")).to_contain_text("SIGKILL")
    expect(operator.get_by_role("button", name="Rotate the signing key")).to_be_visible()  # the session has survived


@pytest.mark.parametrize(("scheme", "size"), [("light", DESKTOP), ("dark", PHONE)])
def test_the_page_has_no_barrier(desk: Desk, scheme: Literal["light", "dark"], size: tuple[int, int]) -> None:
    page = desk.open(size=size, scheme=scheme, bypass_csp=True)
    found: list[Any] = []

    def inspect() -> None:
        found.extend(barriers(page))

    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    inspect()
    desk.sign_in(page, "admin")
    expect(row(page, "edges", "clients → gateway")).to_be_visible()
    expect(row(page, "accounts", "SOWH1000XM4")).to_be_visible()
    inspect()
    page.get_by_role("button", name="Rotate the signing key").click()
    inspect()
    assert found == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
