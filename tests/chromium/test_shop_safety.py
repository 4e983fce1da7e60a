"""What others may store is text and nothing else; and pages load nothing from elsewhere, and not much."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import Request, expect

from tests.chromium.visitors import Visitors, unique

SCRIPT = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>'
GOODS = f"{SCRIPT} & 'more'"
FIRST_LOAD = 60_000
"""Bytes over the wire, headers included."""


def test_no_stored_text_becomes_markup(visitors: Visitors) -> None:
    shop = visitors.shop
    shop.running.command("inventory", "add", "--name", GOODS, "--price", "1.00", "--qty", "50", "toys", "x-1")
    password = shop.add_user("mallory", "--full-name", SCRIPT, "--scope", "add_order")
    mallory = visitors.arrive()
    expect(mallory.heading(GOODS)).to_be_visible()
    mallory.sign_in("mallory", password)
    expect(mallory.page.get_by_role("banner")).to_contain_text(SCRIPT)
    name = unique(SCRIPT)
    order_id = mallory.order(name, GOODS)
    expect(mallory.heading(name)).to_be_visible()
    mallory.tab("Orders").click()
    expect(mallory.main.get_by_role("listitem").first).to_contain_text(f"1 \u00d7 {GOODS}")
    admin = visitors.arrive("admin")
    admin.show(order_id)
    expect(admin.main).to_contain_text(f"“{name}”: 1 \u00d7 {GOODS}")
    admin.button("Cancel the order").click()
    expect(admin.page.get_by_role("dialog")).to_contain_text(name)
    admin.button("Keep the order").click()
    admin.link("Change").click()
    expect(admin.page.get_by_label("Name of the order")).to_have_value(name)
    admin.page.get_by_label("Name of the order").fill(f"{name} more")
    admin.button("Save the changes").click()
    expect(admin.heading(f"{name} more")).to_be_visible()
    for visitor in (mallory, admin):
        assert visitor.page.evaluate("window.hit") is None
        assert visitor.page.locator("img[src=x]").count() == 0


def test_a_script_in_a_page_would_not_run(visitors: Visitors) -> None:
    """The policy holds even if our own code failed."""
    visitor = visitors.arrive()
    visitor.page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.hit = 1";
          document.body.append(script);
        }"""
    )
    assert visitor.page.evaluate("window.hit") is None
    assert [complaint for complaint in visitors.complaints if "Content Security Policy" in complaint]
    visitors.complaints.clear()


def test_pages_ask_nobody_but_us(visitors: Visitors) -> None:
    visitor = visitors.arrive()
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append("{0.scheme}://{0.netloc}".format(urlsplit(request.url)))

    visitor.page.context.on("request", note)
    visitor.sign_in("alice")
    visitor.order(unique("Own"))
    assert set(asked) == {visitors.shop.origin, visitors.shop.running.url("sts")}


def test_the_first_load_is_small(visitors: Visitors) -> None:
    visitor = visitors.arrive()
    visitor.page.goto("about:blank")
    wire = visitor.page.context.new_cdp_session(visitor.page)
    wire.send("Network.enable")
    wire.send("Network.clearBrowserCache")
    sizes: list[float] = []
    wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    visitor.open("/")
    expect(visitor.main.get_by_role("listitem").first).to_be_visible()
    visitor.page.wait_for_load_state("networkidle")
    assert len(sizes) > 10
    print(f"first load: {sum(sizes):.0f} bytes in {len(sizes)} answers")  # noqa: T201 - shown with -rP
    assert sum(sizes) < FIRST_LOAD
