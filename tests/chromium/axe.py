"""axe-core, run in a page."""

from __future__ import annotations

from functools import cache

from playwright.sync_api import Page

from tests.conftest import NODE_MODULES

RUN = """async () => {
  const {violations} = await axe.run(document, {resultTypes: ["violations"]});
  return violations.flatMap(({id, nodes}) =>
    nodes.map(({target, failureSummary}) => `${id}: ${target}: ${failureSummary}`));
}"""


def barriers(page: Page) -> list[str]:
    """Return what axe-core finds wrong with a page, whose profile must not insist on its policy for scripts."""
    page.evaluate(_axe())
    found: list[str] = page.evaluate(RUN)
    return found


@cache
def _axe() -> str:
    return (NODE_MODULES / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
