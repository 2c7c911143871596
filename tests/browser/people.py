"""Somebody at a browser of their own: pages, what went wrong in them, and pictures of them."""

from __future__ import annotations

import re
import time
from pathlib import Path

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, WebError

from tests.browser.service import Network, Service

PATIENCE = 10.0
NETWORK = r"net::ERR_|WebSocket connection to .* failed|Failed to fetch"
"""What Chromium writes to the console when it is offline, whatever the page does about it."""


def until(page: Page, expression: str, within: float = PATIENCE) -> None:
    """Wait until an expression is true in a page. The page's Content-Security-Policy forbids
    `page.wait_for_function`, which evaluates text there again and again."""
    deadline = time.monotonic() + within
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"not true within {within} s: {expression}"
        page.wait_for_timeout(20)


class Person:
    """`page` is their first tab; `network` theirs alone, which tests may cut."""

    def __init__(
        self,
        subject: str,
        service: Service,
        network: Network,
        context: BrowserContext,
        artefacts: Path,
    ) -> None:
        self.subject = subject
        self.network = network
        self.context = context
        self.errors: list[str] = []
        self._service = service
        self._artefacts = artefacts
        self._expected: list[str] = []
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)
        self.page: Page = context.new_page()

    def open(self, session: str = "help-desk", *, tab: Page | None = None, **place: str) -> Page:
        """Sign in by a link, as with `make demo`: `open("s1", case="a")`."""
        page = tab or self.page
        page.goto(self._service.link(self.subject, self.network.url, session=session, **place))
        return page

    def tab(self) -> Page:
        """Another tab of the same browser."""
        return self.context.new_page()

    def go_offline(self) -> None:
        """As a laptop does that leaves the house: nothing passes, and the browser knows it."""
        self.network.cut()
        self.context.set_offline(True)

    def go_online(self) -> None:
        self.network.restore()
        self.context.set_offline(False)

    def shot(self, name: str, page: Page | None = None) -> Path:
        """Keep a picture of what they see: `artefacts/{test}/{name}.png`."""
        self._artefacts.mkdir(parents=True, exist_ok=True)
        path = self._artefacts / f"{name}.png"
        (page or self.page).screenshot(path=path, animations="disabled")
        return path

    def expect(self, *patterns: str) -> None:
        """Errors in the console that belong to what is tested, such as `status of 401`."""
        self._expected += patterns

    @property
    def problems(self) -> list[str]:
        """Errors that nobody expects. Those of the network are, once it was taken away."""
        expected = [*self._expected, *([NETWORK] if self._service.troubled else [])]
        return [each for each in self.errors if not any(re.search(p, each) for p in expected)]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            where = message.location.get("url", "").partition("#")[0]  # a fragment may be a token
            self.errors.append(f"console: {message.text} ({where})")

    def _on_error(self, error: WebError) -> None:
        self.errors.append(f"uncaught: {error.error}")
