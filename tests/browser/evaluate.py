"""The evaluate page, by what people read and do on it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from playwright.sync_api import Dialog, Locator, Page, expect

from tests.browser.people import Person, until
from tests.browser.typist import Witness

SAVED = "^(Saved|All saved|已保存|全部已保存)"
"""How the indicator begins when there is nothing left to save."""

# Notes every status that the page shows from now on.
_STATUSES = """
selector => {
  window.statuses = []
  const look = () => {
    const told = document.querySelector(selector)?.dataset.status ?? 'gone'
    if (window.statuses.at(-1) !== told) window.statuses.push(told)
  }
  look()
  new MutationObserver(look).observe(document, {
    subtree: true, childList: true, attributes: true,
  })
}
"""
_SHELL_IS_KEPT = """
async () => {
  const { active } = await navigator.serviceWorker.ready
  return active?.state === 'activated' && navigator.serviceWorker.controller !== null
}
"""


class Evaluate:
    """One open page. Questions and options go by the words on it, in whichever language."""

    def __init__(self, page: Page, person: Person) -> None:
        self.page = page
        self.person_here = person
        self.saving = page.get_by_test_id("saving")
        self.connection = page.get_by_test_id("connection")
        self.log = page.get_by_role("log")
        self.form = page.get_by_role("main").get_by_role("form").first

    @classmethod
    def open(cls, person: Person, session: str, case: str) -> Self:
        """By the link that signs them in."""
        return cls(person.open(session, case=case), person)

    # ------------------------------------------------------------------------- what it says

    def online(self) -> None:
        """Wait until it says so, and the form is there."""
        expect(self.connection).to_have_attribute("data-status", "online")
        expect(self.form).to_be_visible()

    def offline(self, waiting: int | None = None) -> None:
        """Wait until it says so, by the banner too; with so many edits waiting."""
        expect(self.connection).to_have_attribute("data-status", "offline")
        expect(self.banner("offline")).to_be_visible()
        expect(self.form).to_be_visible()
        if waiting is not None:
            expect(self.saving).to_have_attribute("data-waiting", f"{waiting}")

    def saved(self) -> None:
        """Wait until it says that everything is saved."""
        expect(self.saving).to_have_attribute("data-state", "saved")
        expect(self.saving).to_have_text(re.compile(SAVED))

    def not_saved(self) -> None:
        """It says that something is not saved, now."""
        assert not re.match(SAVED, self.saving.inner_text()), self.saving.inner_text()
        assert self.waiting > 0

    @property
    def waiting(self) -> int:
        """How many edits wait, now; the indicator says so in words as well."""
        return int(self.saving.get_attribute("data-waiting") or "0")

    def stopped(self) -> None:
        """Wait until everything is read-only, and the page says why."""
        expect(self.page.get_by_test_id("state")).to_have_text(re.compile("Stopped|已结束"))
        expect(self.page.get_by_test_id("banner").first).to_be_visible()
        expect(self.form.locator("textarea").first).not_to_be_editable()

    def denied(self, reason: re.Pattern[str]) -> None:
        """Wait until it says that there is no access, and why."""
        expect(self.connection).to_have_attribute("data-status", "denied")
        expect(self.banner("denied")).to_contain_text(reason)

    @property
    def not_accepted(self) -> Locator:
        """What it says of edits that the service did not take."""
        return self.banner("refused")

    def banner(self, kind: str) -> Locator:
        return self.page.locator(f"[data-testid=banner][data-banner={kind}]")

    def state(self, name: str) -> Locator:
        return self.page.get_by_test_id("state").get_by_text(name, exact=True)

    def toast(self, words: str) -> Locator:
        return self.page.get_by_test_id("toast").filter(has_text=words)

    def person(self, name: str) -> Locator:
        """In the list of those who are here."""
        here = self.page.get_by_role("list", name="Here now")
        return here.get_by_role("img", name=name, exact=True)

    def at(self, question: str, name: str) -> Locator:
        """That somebody is in a question."""
        return self.question(question).get_by_role("img", name=f"{name} is here")

    def witness(self, *questions: str) -> Witness:
        """Write down what these texts hold whenever the page says that all is saved."""
        fields = []
        for number, question in enumerate(questions):
            field = self.text(question)
            field.evaluate("(it, mark) => it.setAttribute('data-witness', mark)", f"{number}")
            fields.append(f"[data-witness='{number}']")
        return Witness(self.page, "[data-testid=saving]", SAVED, fields)

    def watch_statuses(self) -> Callable[[], list[str]]:
        """Note every status of the connection that is shown from now on."""
        self.page.evaluate(_STATUSES, "[data-testid=connection]")
        told: Callable[[], list[str]] = lambda: self.page.evaluate("() => statuses")  # noqa: E731
        return told

    def reload(self) -> None:
        """Asks first, as it must, when something is not saved."""
        asked: list[str] = []

        def accept(dialog: Dialog) -> None:
            asked.append(dialog.type)
            dialog.accept()

        expected = ["beforeunload"] if self.waiting else []
        self.page.on("dialog", accept)
        self.page.reload()
        self.page.remove_listener("dialog", accept)
        assert asked == expected

    def kept_for_offline(self) -> None:
        """Wait until the service worker would answer a reload."""
        until(self.page, _SHELL_IS_KEPT)

    # ------------------------------------------------------------------------- the questions

    def question(self, label: str) -> Locator:
        words = self.page.get_by_text(label, exact=True)
        return self.page.locator("[data-question]").filter(has=words)

    def option(self, question: str, label: str) -> Locator:
        group = self.page.get_by_role("radiogroup", name=question, exact=True)
        return group.get_by_role("radio", name=label, exact=True)

    def score(self, question: str, value: int) -> None:
        self.choose(question, f"{value}")

    def choose(self, question: str, label: str) -> None:
        self.option(question, label).check(force=True)

    def clear(self, question: str) -> None:
        self.page.get_by_role("button", name=f"Clear {question}").click()

    def text(self, question: str) -> Locator:
        return self.page.get_by_role("textbox", name=question, exact=True)

    def caret(self, question: str, at: int) -> None:
        """Into a text, between two characters."""
        field = self.text(question)
        field.focus()
        field.evaluate("(it, at) => it.setSelectionRange(at, at)", at)

    def caret_at_end(self, question: str) -> None:
        self.caret(question, len(self.text(question).input_value()))

    def group(self, question: str) -> Locator:
        return self.page.get_by_role("group", name=question, exact=True)

    def tags(self, question: str) -> Locator:
        return self.group(question).get_by_role("listitem")

    def tag(self, question: str, tag: str) -> None:
        field = self.group(question).get_by_role("textbox")
        field.fill(tag)
        field.press("Enter")

    def untag(self, question: str, tag: str) -> None:
        self.group(question).get_by_role("button", name=f"Remove {tag}").click()

    def undo(self) -> None:
        self.page.get_by_role("button", name="Undo").click()

    def redo(self) -> None:
        self.page.get_by_role("button", name="Redo").click()

    # ------------------------------------------------------------------------- the session

    def step(self, name: str) -> None:
        """Start, Pause, Resume, Stop: as a lead."""
        self.page.get_by_role("button", name=f"{name} session").click()
        if name == "Stop":
            dialog = self.page.get_by_role("dialog")
            dialog.get_by_role("button", name="Stop session").click()

    def say(self, words: str) -> None:
        """Into the feed: guidance, or a note."""
        field = self.page.get_by_role("textbox", name=re.compile("^(Guidance|Note to)"))
        field.fill(words)
        field.press("Enter")

    def download(self) -> Any:
        """The copy that the page offers of what was not accepted."""
        with self.page.expect_download() as started:
            self.page.get_by_role("button", name="Download a copy").click()
        return json.loads(Path(started.value.path()).read_text())
