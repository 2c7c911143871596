"""The administrator's console, in the words that are on it."""

from __future__ import annotations

import re
from typing import Self
from urllib.parse import quote

from playwright.sync_api import Locator, Page, expect

from tests.browser.people import Person
from tests.browser.service import Service


class Console:
    """The console in somebody's tab."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.page: Page = person.page

    @classmethod
    def open(cls, service: Service, person: Person, view: str = "overview") -> Self:
        """With an administrator's token in the fragment, as a link hands it over."""
        console = cls(person)
        token = service.token("admin")
        person.page.goto(f"{person.network.url}/console#token={token}&view={quote(view, safe='')}")
        expect(console.state("Ready")).to_be_visible()
        return console

    def go(self, view: str) -> Self:
        """To another view, by the fragment."""
        self.page.goto(f"{self.person.network.url}/console#/{view}")
        return self

    def state(self, words: str) -> Locator:
        """What the page says of the service."""
        return self.page.get_by_role("banner").get_by_text(words, exact=True)

    def heading(self) -> Locator:
        return self.page.get_by_role("heading", level=1)

    def tile(self, term: str) -> Locator:
        """The value of a large figure."""
        found = self.page.locator(".tile").filter(has=self.page.get_by_text(term, exact=True))
        return found.locator("dd").first

    def region(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("region", name=name)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def confirm(self, action: str) -> None:
        """In the dialog that asks; returns when it was done."""
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_role("button", name=action, exact=True).click()
        expect(dialog).to_be_hidden()

    @property
    def slider(self) -> Locator:
        return self.page.get_by_role("slider", name="Point in time")
