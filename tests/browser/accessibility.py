"""What axe-core finds wrong with a page, in words."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from playwright.sync_api import Page

from tests.browser.chromium import missing
from tests.support.service import ROOT

AXE = ROOT / "examples/webapp/node_modules/axe-core/axe.min.js"
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
"""WCAG 2.2 A and AA, and best practice."""

COLOURS = ("color-contrast",)
"""What is to be looked at again where nothing but the colours is another."""

_RUN = """
rules => axe.run(document, { runOnly: rules, resultTypes: ['violations'] }).then(
  ({ violations }) => violations.flatMap(({ id, help, nodes }) => nodes.map(
    ({ target, failureSummary }) => `${id}: ${help}\\n  at ${target}\\n  ${failureSummary}`
  ))
)
"""
_HOW_FAR_TOO_WIDE = """
() => document.documentElement.scrollWidth - document.documentElement.clientWidth
"""


@functools.cache
def _axe() -> str:
    if not AXE.exists():
        missing("axe-core is missing in examples/webapp: run `make node`")
    return AXE.read_text()


def violations(page: Page, rules: Sequence[str] = RULES) -> list[str]:
    """Of rules, or of sets of them. Empty: none."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(_axe())
    found: list[str] = page.evaluate(_RUN, list(rules))
    return found


def assert_accessible(page: Page, what: str, rules: Sequence[str] = RULES) -> None:
    """Clean by axe-core, and nothing that must be scrolled sideways."""
    found = violations(page, rules)
    assert not found, f"{what}: {len(found)} violations\n" + "\n".join(found)
    assert page.evaluate(_HOW_FAR_TOO_WIDE) <= 0, f"{what}: the page scrolls sideways"
