"""For everybody: by axe-core, with the keyboard alone, on narrow screens, in both languages."""

from __future__ import annotations

import re
from typing import Any, Literal

import pytest
from playwright.sync_api import expect

from tests.browser.accessibility import COLOURS, RULES, assert_accessible
from tests.browser.conftest import People
from tests.browser.evaluate import Evaluate
from tests.browser.people import Person
from tests.browser.service import Service, draft

LOOKS: dict[str, dict[str, Any]] = {
    "wide": {},
    "narrow": {"viewport": {"width": 360, "height": 740}},
    "chinese": {"locale": "zh-CN"},
}


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_is_clean(service: Service, people: People, session: str, look: str) -> None:
    service.session(session, test_cases=[{"id": "a", "title": "A late refund"}, "b"])
    lena, alice, bob = (people(name, **LOOKS[look]) for name in ("lena", "alice", "bob"))
    form = Evaluate.open(alice, session, "a")
    form.online()
    form.text("Reasoning").fill("Too late, and said kindly.")
    form.score("Accuracy", 4)
    form.tag("Topics", "refund")
    other = Evaluate.open(bob, session, "a")
    other.online()
    other.score("Accuracy", 2)
    other.caret_at_end("Reasoning")
    guidance = {"text": "Mind the policy of 30 days", "case": "a"}
    service.publish(session, "guidance.message", guidance)
    expect(form.log).to_contain_text("30 days")
    form.saved()
    expect(form.page.locator(".text-cursor")).to_be_attached()
    check(alice, f"running-{look}")
    bob.context.close()

    page = lena.open(session="")
    expect(page.locator(f"a[href='#/s/{session}']")).to_be_visible()
    check(lena, f"start-{look}")
    page.goto(f"{lena.network.url}/#/monitor/{session}")
    expect(page.get_by_role("meter").first).to_be_visible()
    check(lena, f"monitor-{look}")
    lena.context.close()

    alice.go_offline()
    form.offline()
    form.text("Reasoning").press_sequentially(" More.")
    form.offline()
    check(alice, f"offline-{look}")
    alice.go_online()
    form.online()
    form.saved()
    service.step(session, "stop")
    form.stopped()
    check(alice, f"stopped-{look}")


def check(person: Person, what: str) -> None:
    """All rules in the light; in the dark, where all but the colours is the same, those."""
    page = person.page
    looks: tuple[tuple[Literal["light", "dark"], tuple[str, ...]], ...]
    looks = (("light", RULES), ("dark", COLOURS))
    for scheme, rules in looks:
        page.emulate_media(color_scheme=scheme)
        page.evaluate("() => window.scrollTo(0, 0)")
        person.shot(f"{what}-{scheme}")
        assert_accessible(page, f"{what}, {scheme}", rules)


def test_creating_a_session_is_clean(people: People) -> None:
    lena = people("lena")
    page = lena.open(session="")
    page.get_by_role("button", name="New session").click()
    page.get_by_role("button", name="Add a person").click()
    page.get_by_role("button", name="Create session").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    assert_accessible(page, "creating a session")
    lena.shot("create")


# Where the keyboard is: the question, and what kind of a control.
_FOCUS = """
() => {
  const it = document.activeElement
  const question = it?.closest('[data-question]')?.dataset.question ?? null
  if (question === null || it.tagName === 'BUTTON') return [question, null]
  return [question, it.tagName === 'TEXTAREA' ? 'text' : (it.getAttribute('role') ?? it.type)]
}
"""


def test_the_whole_form_by_keyboard(service: Service, people: People, session: str) -> None:
    """Tab from field to field; the space bar or a digit chooses, letters are typed."""
    sections = service.session(session, test_cases=["a"])["form"]["sections"]
    alice = people("alice")
    form = Evaluate.open(alice, session, "a")
    form.online()
    keyboard = alice.page.keyboard
    form.page.get_by_role("link", name=re.compile("^Skip to")).focus()
    keyboard.press("Enter")
    filled: set[str] = set()
    for _ in range(120):
        keyboard.press("Tab")
        question, control = alice.page.evaluate(_FOCUS)
        if question is None and filled:
            break
        match control:
            case "radio" if question in {"accuracy", "completeness", "tone", "empathy"}:
                keyboard.press("4")
            case "radio" | "checkbox":
                keyboard.press("Space")
            case "text" if question not in {"own-labels", "topics"}:
                keyboard.type("some words")
            case "text":
                keyboard.type("word")
                keyboard.press("Enter")
            case _:
                continue
        filled.add(question)
    form.saved()
    questions = [it["id"] for each in sections for it in each["questions"]]
    assert filled == set(questions)
    kept = service.fresh(draft(session, "a"))
    answered = {each.removeprefix("alice/") for each in kept["ratings"]} | set(kept["fields"])
    answered |= {root.partition("/")[2] for root, value in kept.items() if "/" in root and value}
    assert answered == set(questions)
    assert kept["ratings"]["alice/accuracy"] == 4
    assert kept["tags/topics"] == {"word": True}
    assert kept["comment/reasoning"] == "some words"
