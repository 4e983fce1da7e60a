"""One suite and one Chromium for all tests here; each test has browser profiles of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.chromium.visitors import FLAGS, Shop, Visitors
from tests.system.processes import suite

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what shares the browser in one process, of however many there are."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A suite whose users are those of the demo, and one more with a name that wants to be a script."""
    with suite(tmp_path_factory.mktemp("shop")) as running:
        yield Shop(running)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, which talks to nobody but to us."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visitors(shop: Shop, chromium: Browser) -> Iterator[Visitors]:
    """Makes browser profiles. No page may have failed by itself, or tried what its policy forbids."""
    made = Visitors(shop, chromium)
    yield made
    made.close()
    assert made.complaints == []
