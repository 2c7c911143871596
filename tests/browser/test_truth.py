"""The service is killed again and again while two people type: 'saved' is never said in vain."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import People
from tests.browser.evaluate import Evaluate
from tests.browser.people import until
from tests.browser.service import Content, Service, draft
from tests.browser.typist import Typist, Witness

DRAFT = draft("s1", "a")
KILLS = 5
FIELD, ROOT = "Reasoning", "comment/reasoning"
BAR = "|"
"""Bob types before it, Alice after it: so each one's words stay in one piece."""


@pytest.fixture
def service(own_service: Service) -> Service:
    """One that may be killed."""
    return own_service


def parts(content: Content) -> tuple[str, str]:
    """What a document holds of Bob's and of Alice's words."""
    bob, bar, alice = content[ROOT].partition(BAR)
    assert bar == BAR, f"neither saved nor there: {content[ROOT]!r}"
    return bob, alice


class Typed:
    """One of the two: types on and on, and is watched."""

    def __init__(self, form: Evaluate, place: int, letter: str) -> None:
        self.place = place  # 0 before the bar, 1 after it
        self.form = form
        self.witness: Witness = form.witness(FIELD)
        self.typist = Typist(form.text(FIELD), letter, every=25)

    def shown_as_saved(self) -> list[str]:
        """What they had typed at each moment at which their page said that all was saved."""
        return [each.texts[0].split(BAR)[self.place] for each in self.witness.moments()]


@pytest.mark.timeout(120)
@pytest.mark.long
def test_saved_is_never_said_in_vain(service: Service, people: People) -> None:
    service.session("s1", test_cases=["a"])
    forms = [Evaluate.open(people(name), "s1", "a") for name in ("bob", "alice")]
    for form in forms:
        form.online()
    forms[0].text(FIELD).fill(BAR)
    for form in forms:
        expect(form.text(FIELD)).to_have_value(BAR)
        form.saved()
    for place, form in enumerate(forms):
        form.caret(FIELD, place)
    typing = [
        Typed(form, place, letter)
        for place, (form, letter) in enumerate(zip(forms, "ba", strict=True))
    ]

    for kill in range(KILLS):
        before = [len(each.shown_as_saved()) for each in typing]
        for each, seen in zip(typing, before, strict=True):
            until(each.form.page, f"witness.moments > {seen + 3}")
        if kill % 2:
            # It hears no more, and is not dead yet: what is typed now was sent, and not committed.
            for each in typing:
                each.form.person_here.network.hold()
            for each in typing:
                keys = len(each.typist.typed)
                until(each.form.page, f"typist.typed.length > {keys + 8}")
        service.kill()
        kept = parts(service.on_disk(DRAFT))
        for each in typing:
            for saved in each.shown_as_saved():
                assert kept[each.place].startswith(saved), f"kill {kill}: {saved!r} was 'saved'"
        for each in typing:
            each.form.person_here.network.restore()
        service.start()

    typed = tuple(each.typist.finish() for each in typing)
    for form in forms:
        form.online()
        form.saved()
    assert parts(service.fresh(DRAFT)) == typed
    fresh = Evaluate.open(people("bob"), "s1", "a")
    expect(fresh.text(FIELD)).to_have_value(BAR.join(typed))
    for form in forms:
        expect(form.text(FIELD)).to_have_value(BAR.join(typed))
    assert parts(service.on_disk(DRAFT)) == typed
