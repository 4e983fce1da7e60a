"""Takes pictures of the shop's pages, from a suite of its own: `python -m tests.chromium.screenshots FOLDER`."""

from __future__ import annotations

import base64
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page, expect, sync_playwright

from tests.chromium.visitors import API_SECURITY, DESKTOP, FLAGS, HEADPHONES, MACBOOK, PHONE, Shop, Visitor, Visitors
from tests.system.processes import suite

PALETTE = (Path(__file__).parent / "palette.js").read_text(encoding="utf-8")
SIZES = {"desktop": DESKTOP, "phone": PHONE}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def main() -> None:
    """Write one picture for each page, size and colour scheme."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, suite(Path(place)) as running, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        visitors = Visitors(Shop(running), chromium)
        press = chromium.new_page()
        fill_the_list(visitors)
        for size_name, size in SIZES.items():
            for scheme in SCHEMES:
                visitor = visitors.arrive(size=size, scheme=scheme)
                for name in walk(visitor):
                    path = folder / f"{name}-{size_name}-{scheme}.png"
                    path.write_bytes(reduced(press, visitor.page.screenshot(animations="disabled", caret="hide")))
                    print(f"{path} {path.stat().st_size}", flush=True)  # noqa: T201 - it is what the command is for
                # The next one finds the same stock, and the same list.
                visitor.button("Cancel the order").click()
                visitor.page.get_by_role("dialog").get_by_role("button", name="Cancel the order").click()
                expect(visitor.notices).to_contain_text("is cancelled")
        visitors.close()
        chromium.close()


def walk(visitor: Visitor) -> Iterator[str]:
    """Go through the pages, and say the name of each."""
    page = visitor.page
    for good in (HEADPHONES, API_SECURITY):
        visitor.button(f"Add to order {good}").click()
    visitor.button(f"One more of {API_SECURITY}").click()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    yield "catalogue"
    page.get_by_role("banner").get_by_role("link", name="Sign in").click()
    page.get_by_label("User name").fill("admin")
    yield "sign-in"
    page.get_by_label("Password").fill(visitor.shop.passwords["admin"])
    visitor.button("Sign in").click()
    visitor.tab("New order").click()
    page.get_by_label("Name of the order").fill("Reading room")
    page.get_by_label("Order number").fill("reading-room")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    yield "new-order"
    visitor.place()
    visitor.notices.get_by_role("button", name="What just happened?").click()
    expect(visitor.heading("What just happened")).to_be_visible()
    yield "what-just-happened"
    page.keyboard.press("Escape")
    yield from change(visitor)
    expect(visitor.main).to_contain_text("Changed by")
    yield "order"
    place = page.url
    visitor.tab("Orders").click()
    expect(visitor.heading("All orders")).to_be_visible()
    expect(visitor.main).to_contain_text("Office shelf")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    yield "orders"
    visitor.open("/operate")
    expect(visitor.main).to_contain_text("inventory")
    page.wait_for_timeout(3000)  # so that there is something to draw
    yield "operate"
    visitor.open("/docs")
    page.locator("#createOrder summary").click()
    yield "api"
    page.goto(place)
    expect(visitor.heading("History")).to_be_visible()


def change(visitor: Visitor) -> Iterator[str]:
    """Change the order that is shown, while somebody else does."""
    page, order_id = visitor.page, visitor.order_id
    visitor.link("Change").click()
    page.get_by_label("Add an item").select_option(label=MACBOOK)
    visitor.button("Add").click()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    yield "edit"
    other = visitor.another_tab()
    other.open(f"/#/orders/{order_id}/edit")
    other.page.get_by_label("Name of the order").fill("Reading room, second floor")
    other.button(f"One more of {HEADPHONES}").click()
    other.button("Save the changes").click()
    expect(other.notices).to_contain_text("The changes are saved.")
    visitor.come_forward()  # the other tab stays: what it asks for would fail if it was closed meanwhile
    visitor.button("Save the changes").click()
    expect(page.get_by_role("dialog", name="Somebody else has changed this order")).to_be_visible()
    yield "conflict"
    visitor.button("Save mine over theirs").click()


def fill_the_list(visitors: Visitors) -> None:
    """Place orders that stay, so that there is a list."""
    visitor = visitors.arrive("admin")
    for name, goods in (
        ("Office shelf", (API_SECURITY,)),
        ("Trade fair", (HEADPHONES, MACBOOK)),
        ("Spare", (HEADPHONES,)),
    ):
        visitor.order(name, *goods)


def reduced(press: Page, picture: bytes) -> bytes:
    """Return the picture with 256 colours."""
    return base64.b64decode(press.evaluate(PALETTE, base64.b64encode(picture).decode()))


if __name__ == "__main__":
    main()
