"""Scripts in a page: somebody who types without a pause, and witnesses of what the page shows.

Each is started by an `evaluate` and goes on by itself, while the test does other things.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator, Page

from tests.browser.people import until

# What a keyboard does, as the page hears it: `insertText` brings `beforeinput` and `input`, at the
# caret and over the selection. Words are numbered, so that each is there once, and in its place.
_TYPE = """
(field, [letter, every, most]) => {
  const it = { typed: '', at: [], until: most, done: false }
  window.typist = it
  let word = 0
  let rest = ''
  const next = () => {
    if (rest === '') rest = `${letter}${++word} `
    const key = rest[0]
    rest = rest.slice(1)
    return key
  }
  const strike = () => {
    if (it.typed.length >= it.until && rest === '') return void (it.done = true)
    if (document.activeElement !== field) field.focus()
    const key = next()
    it.at.push(performance.timeOrigin + performance.now())
    it.typed += key
    document.execCommand('insertText', false, key)
    // Now and then a moment of thought, which is when a page may say that all is saved.
    setTimeout(strike, key === ' ' ? 3 * every : every)
  }
  strike()
}
"""

# The page is looked at whenever something changed in it, when all that follows from it in the same
# turn is done; and in every frame that is painted.
_WITNESS = """
([indicator, saved, fields]) => {
  const it = { moments: 0, last: null, seen: [] }
  window.witness = it
  const state = () => document.querySelector(indicator)?.textContent ?? ''
  const look = () => {
    if (!new RegExp(saved).test(state())) return void (it.last = null)
    const texts = fields.map((each) => document.querySelector(each)?.value ?? '')
    const told = JSON.stringify(texts)
    if (told === it.last) return
    it.last = told
    it.moments += 1
    it.seen.push({ at: performance.timeOrigin + performance.now(), texts })
  }
  const turn = new MessageChannel()
  turn.port1.onmessage = look
  new MutationObserver(() => turn.port2.postMessage(null)).observe(document, {
    subtree: true, childList: true, characterData: true, attributes: true,
  })
  const frame = () => { look(); requestAnimationFrame(frame) }
  frame()
}
"""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment at which a page said that everything is saved, and what its fields held then."""

    at: float  # milliseconds since the epoch
    texts: tuple[str, ...]


class Typist:
    """Types numbered words into a field, a key each `every` milliseconds, on and on.

    `letter` begins each word; `most` is the least number of keys after which it ends, with a word.
    """

    def __init__(
        self, field: Locator, letter: str, *, every: int = 30, most: int = 100_000
    ) -> None:
        self._page = field.page
        field.evaluate(_TYPE, [letter, every, most])

    @property
    def typed(self) -> str:
        """Everything, up to now."""
        typed: str = self._page.evaluate("() => typist.typed")
        return typed

    @property
    def struck_at(self) -> list[float]:
        """When each key was struck; milliseconds since the epoch."""
        at: list[float] = self._page.evaluate("() => typist.at")
        return at

    def finish(self) -> str:
        """End with the word that was begun; return everything."""
        self._page.evaluate("() => { typist.until = 0 }")
        return self.wait()

    def wait(self, within: float = 30) -> str:
        """Until it has ended; return everything."""
        until(self._page, "typist.done", within)
        return self.typed


class Witness:
    """Writes down what the fields hold whenever the page says that everything is saved."""

    def __init__(self, page: Page, indicator: str, saved: str, fields: Sequence[str]) -> None:
        """`indicator` and `fields` are selectors; `saved` is a regular expression."""
        self._page = page
        page.evaluate(_WITNESS, [indicator, saved, list(fields)])

    def moments(self) -> list[Moment]:
        told: list[dict[str, Any]] = self._page.evaluate("() => witness.seen")
        return [Moment(each["at"], tuple(each["texts"])) for each in told]


# In each frame that is painted: how long the text is by now. `at[n]` is when it had n characters.
_WATCH_LENGTH = """
field => {
  const it = { at: [] }
  window.lengths = it
  const frame = () => {
    const now = performance.timeOrigin + performance.now()
    while (it.at.length <= field.value.length) it.at.push(now)
    requestAnimationFrame(frame)
  }
  frame()
}
"""


def watch_length(field: Locator) -> None:
    """Note when a text had how many characters, as it was painted."""
    field.evaluate(_WATCH_LENGTH)


def arrivals(page: Page) -> list[float]:
    """When it had 0, 1, 2, … characters; milliseconds since the epoch."""
    at: list[float] = page.evaluate("() => lengths.at")
    return at
