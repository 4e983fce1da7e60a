"""People in front of the shop: each has a browser profile, and does what a person does."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, StorageState, expect

from tests.system.processes import SuiteProcess

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 15_000
PHONE, DESKTOP = (390, 844), (1280, 800)
API_SECURITY = "Advanced API Security"
MACBOOK = "Apple MacBook Air M1 13-inch 2021"
HEADPHONES = "Sony WH-1000XM4"
HEADPHONES_PATH = "electronics/SOWH1000XM4"

_EXPECTED = re.compile(r"Failed to load resource: (the server responded with a status of [45]|net::ERR_)")
"""What Chromium says of an answer that is an error, or that did not come. Tests ask for such answers."""

expect.set_options(timeout=PATIENCE_MS)


def new_profile(
    chromium: Browser,
    size: tuple[int, int],
    scheme: Literal["light", "dark"],
    *,
    bypass_csp: bool,
    state: StorageState | None = None,
) -> BrowserContext:
    """Make a browser profile, with the cookies of `state` if there is one. The caller closes it."""
    return chromium.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        reduced_motion="reduce",
        ignore_https_errors=True,
        bypass_csp=bypass_csp,
        storage_state=state,
    )


@dataclass(frozen=True)
class Shop:
    """The running suite, as its operator sees it."""

    running: SuiteProcess
    cookies: dict[str, StorageState] = field(default_factory=dict)
    """Of one session for each user who needs only be signed in."""

    @property
    def origin(self) -> str:
        return self.running.url("gateway")

    @property
    def passwords(self) -> dict[str, str]:
        lines = (self.running.folder / "var" / "demo-credentials").read_text().splitlines()
        return {name: secret for kind, name, secret in map(str.split, lines) if kind == "user"}

    def stock(self, path: str) -> int:
        return int(json.loads(self.running.curl(self.running.url("gateway", f"/inventory/{path}"))[1])["qty"])

    def add_user(self, name: str, *options: str) -> str:
        """Add a user and return the password."""
        return self.running.command("users", "add", name, *options, "--generate").strip()


@dataclass
class Visitors:
    """Browser profiles, which end with the test, and what their pages complained about."""

    shop: Shop
    chromium: Browser
    complaints: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def arrive(
        self,
        user: str = "",
        *,
        size: tuple[int, int] = DESKTOP,
        scheme: Literal["light", "dark"] = "light",
        bypass_csp: bool = False,
    ) -> Visitor:
        """Somebody opens the shop, in a profile of their own; `user` is signed in already.

        All profiles of a user share one session, as signing in takes a second: whoever signs out, signs in first.
        `bypass_csp` is for tools that are put into pages.
        """
        if user and user not in self.shop.cookies:
            first = self.arrive()
            first.sign_in(user)
            self.shop.cookies[user] = first.page.context.storage_state()
        state = self.shop.cookies[user] if user else None
        context = new_profile(self.chromium, size, scheme, bypass_csp=bypass_csp, state=state)
        context.set_default_timeout(PATIENCE_MS)
        self.contexts.append(context)
        context.on("console", self._listen)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        visitor = Visitor(context.new_page(), self.shop)
        visitor.open("/")
        if user:
            expect(visitor.button("Sign out")).to_be_visible()
        return visitor

    def close(self) -> None:
        for context in self.contexts:
            context.close()

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not _EXPECTED.match(message.text):
            self.complaints.append(message.text)


@dataclass
class Visitor:
    """One tab of somebody."""

    page: Page
    shop: Shop

    @property
    def origin(self) -> str:
        return self.shop.origin

    def open(self, path: str) -> None:
        self.come_forward()
        self.page.goto(self.origin + path)

    def come_forward(self) -> None:
        """Bring this tab to the front: Chromium draws the others rarely."""
        self.page.bring_to_front()

    def another_tab(self) -> Visitor:
        """Open the shop once more in the same profile."""
        visitor = Visitor(self.page.context.new_page(), self.shop)
        visitor.open("/")
        return visitor

    def button(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("button", name=name)

    def link(self, name: str) -> Locator:
        return self.page.get_by_role("link", name=name)

    def tab(self, name: str) -> Locator:
        return self.page.get_by_role("navigation", name="Main").get_by_role("link", name=name)

    def heading(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("heading", name=name)

    @property
    def notices(self) -> Locator:
        """What is said above the page."""
        return self.page.locator("#notices")

    @property
    def main(self) -> Locator:
        return self.page.get_by_role("main")

    @property
    def order_id(self) -> str:
        """The number of the order that is shown."""
        found = re.search(r"#/orders/([\w-]+)", self.page.url)
        assert found, self.page.url
        return found[1]

    def sign_in(self, name: str, password: str = "") -> None:
        """Go to the token service's page by the link at the top, and come back."""
        self.page.get_by_role("banner").get_by_role("link", name="Sign in").click()
        self.page.get_by_label("User name").fill(name)
        self.page.get_by_label("Password").fill(password or self.shop.passwords[name])
        self.button("Sign in").click()
        expect(self.button("Sign out")).to_be_visible()

    def fill_in(self, name: str, *goods: str) -> None:
        """Put one piece of each of these goods into a new order."""
        self.tab("Catalogue").click()
        for good in goods:
            self.button(f"Add to order {good}").click()
        self.tab("New order").click()
        self.page.get_by_label("Name of the order").fill(name)

    def place(self) -> None:
        """Send the order, and wait until it is placed."""
        self.button("Place the order").click()
        expect(self.notices).to_contain_text("Your order is placed.")
        expect(self.heading("History")).to_be_visible()

    def order(self, name: str, *goods: str) -> str:
        """Order something and return its number."""
        self.fill_in(name, *(goods or (HEADPHONES,)))
        self.place()
        return self.order_id

    def show(self, order_id: str) -> None:
        self.open(f"/#/orders/{order_id}")
        expect(self.heading("History")).to_be_visible()

    def orders_called(self, name: str) -> int:
        """Count this user's orders of a name, as the server has them."""
        answer: dict[str, Any] = self.page.evaluate("async () => (await fetch('/api/order?limit=200')).json()")
        return sum(order["name"] == name for order in answer["orders"])


def unique(name: str) -> str:
    """A name of an order that no other test uses."""
    return f"{name} {uuid.uuid4().hex[:6]}"
