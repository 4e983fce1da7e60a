"""The whole story without a pointer: each step is reached by Tab, and seen to be where the focus is."""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from tests.chromium.visitors import HEADPHONES, Visitor, Visitors, unique

LONGEST_WAY = 60
SHOWS_FOCUS = """() => {
  const parts = [document.activeElement, ...[...document.activeElement.getElementsByTagName("*")]];
  const outlined = (element, pseudo) => {
    const style = getComputedStyle(element, pseudo);
    return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  };
  return parts.some((element) => outlined(element) || outlined(element, "::after"));
}"""


def press_tab_to(visitor: Visitor, target: Locator) -> None:
    """Press Tab until the focus is there."""
    for _ in range(LONGEST_WAY):
        visitor.page.keyboard.press("Tab")
        if target.count() and target.first.evaluate("element => element === document.activeElement"):
            assert visitor.page.evaluate(SHOWS_FOCUS), target
            return
    msg = f"{target} is not reached with Tab"
    raise AssertionError(msg)


def test_the_whole_story_by_keyboard(visitors: Visitors) -> None:
    admin = visitors.arrive()
    keyboard = admin.page.keyboard
    keyboard.press("Tab")
    expect(admin.link("Skip to the content")).to_be_focused()
    keyboard.press("Enter")
    expect(admin.heading("Catalogue")).to_be_focused()
    press_tab_to(admin, admin.button(f"Add to order {HEADPHONES}"))
    keyboard.press("Enter")
    expect(admin.button(f"One more of {HEADPHONES}")).to_be_focused()
    keyboard.press("Shift+Tab")
    keyboard.press("ArrowUp")
    expect(admin.page.get_by_label(f"Pieces of {HEADPHONES}")).to_have_value("2")
    press_tab_to(admin, admin.tab("New order"))
    keyboard.press("Enter")
    expect(admin.heading("New order")).to_be_focused()
    press_tab_to(admin, admin.page.get_by_label("Name of the order"))
    name = unique("Typed")
    keyboard.type(name)
    press_tab_to(admin, admin.link("Sign in to order"))
    keyboard.press("Enter")
    expect(admin.page.get_by_label("User name")).to_be_focused()
    keyboard.type("admin")
    keyboard.press("Tab")
    keyboard.type(visitors.shop.passwords["admin"])
    keyboard.press("Enter")
    expect(admin.button("Place the order")).to_be_visible()
    press_tab_to(admin, admin.button("Place the order"))
    keyboard.press("Enter")
    expect(admin.heading(name)).to_be_focused()
    change_and_cancel(admin, name)
    press_tab_to(admin, admin.button("Sign out"))
    keyboard.press("Enter")
    expect(admin.page.get_by_role("banner").get_by_role("link", name="Sign in")).to_be_visible()


def change_and_cancel(admin: Visitor, name: str) -> None:
    keyboard = admin.page.keyboard
    press_tab_to(admin, admin.link("Change"))
    keyboard.press("Enter")
    expect(admin.heading("Change the order")).to_be_focused()
    press_tab_to(admin, admin.button(f"One less of {HEADPHONES}"))
    keyboard.press("Space")
    press_tab_to(admin, admin.button("Save the changes"))
    keyboard.press("Enter")
    expect(admin.heading(name)).to_be_focused()
    expect(admin.main).to_contain_text("Changed by Administrator (admin)")
    press_tab_to(admin, admin.button("Cancel the order"))
    keyboard.press("Enter")
    expect(admin.button("Keep the order")).to_be_focused()
    keyboard.press("Escape")
    expect(admin.page.get_by_role("dialog")).to_have_count(0)
    expect(admin.button("Cancel the order")).to_be_focused()
    keyboard.press("Enter")
    press_tab_to(admin, admin.page.get_by_role("dialog").get_by_role("button", name="Cancel the order"))
    keyboard.press("Enter")
    expect(admin.notices).to_contain_text(f"“{name}” is cancelled.")
    expect(admin.heading("All orders")).to_be_focused()
