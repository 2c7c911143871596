"""A session from its creation to its end, as the people in it see it."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import People
from tests.browser.evaluate import Evaluate
from tests.browser.people import until
from tests.browser.service import Service, draft


def create(page: Page, session: str) -> None:
    """On the start page, as a lead."""
    page.get_by_role("button", name="New session").click()
    form = page.get_by_role("form", name="Create a session")
    form.get_by_role("textbox", name="Project").fill("Help desk agent")
    form.get_by_role("textbox", name="Title").fill("Spring round")
    form.get_by_role("textbox", name="Session id").fill(session)
    form.get_by_role("textbox", name="Test cases").fill("a | A late refund\nb | Angry customer")
    for number, subject in enumerate(("alice", "bob"), start=1):
        form.get_by_role("button", name="Add a person").click()
        form.get_by_role("textbox", name=f"Person {number}").fill(subject)
    form.get_by_role("button", name="Create session").click()


def test_a_lead_takes_it_from_creation_to_its_end(
    service: Service, people: People, session: str
) -> None:
    lena, alice, bob = people("lena"), people("alice"), people("bob")
    lena.open(session="")
    expect(lena.page.get_by_role("heading", name="Sessions", level=1)).to_be_visible()
    create(lena.page, session)
    lead = Evaluate(lena.page, lena)
    expect(lead.page.get_by_role("heading", name="Spring round")).to_be_visible()
    forms = [Evaluate.open(each, session, "a") for each in (alice, bob)]
    lead.step("Start")
    for form in forms:
        form.online()
        expect(form.text("Reasoning")).to_be_editable()
    lead.step("Pause")
    for form in forms:
        expect(form.state("Paused")).to_be_visible()
    lead.step("Resume")
    for form in forms:
        expect(form.state("Running")).to_be_visible()
    forms[0].text("Reasoning").press_sequentially("to the end")
    forms[0].saved()
    lead.step("Stop")
    for form in forms:
        form.stopped()
    for form in forms:
        expect(form.text("Reasoning")).to_have_value("to the end")
    alice.shot("stopped")
    kinds = [each["kind"] for each in service.events(session)]
    steps = [each for each in kinds if each.startswith("session.") and "join" not in each]
    assert steps == [
        f"session.{each}" for each in ("created", "started", "paused", "resumed", "stopped")
    ]


def test_edits_that_come_after_the_end_are_told_and_can_be_taken_away(
    service: Service, people: People, session: str
) -> None:
    service.session(session, test_cases=["a"])
    alice = people("alice")
    form = Evaluate.open(alice, session, "a")
    form.online()
    form.score("Tone", 2)
    form.saved()
    alice.go_offline()
    form.offline(waiting=0)
    form.text("Reasoning").press_sequentially("too late")
    form.score("Accuracy", 5)
    form.offline()
    waiting = form.waiting
    service.step(session, "stop")
    alice.go_online()
    form.stopped()
    expect(form.not_accepted).to_contain_text(f"{waiting}")
    alice.shot("not-accepted")
    copy = form.download()
    assert copy["comment/reasoning"] == "too late"
    assert service.fresh(draft(session, "a"))["ratings"] == {"alice/tone": 2}
    assert "comment/reasoning" not in service.fresh(draft(session, "a"))
    # The notice, and the copy, are there after a reload too.
    form.reload()
    form.stopped()
    expect(form.not_accepted).to_contain_text(f"{waiting}")


def test_guidance_of_an_observer_reaches_everybody_at_once(
    service: Service, people: People, session: str
) -> None:
    service.session(session, test_cases=["a"])
    forms = [Evaluate.open(people(name), session, "a") for name in ("alice", "bob")]
    olga = Evaluate.open(people("olga"), session, "a")
    for form in forms:
        form.online()
    olga.say("Mind the policy of 30 days")
    for form in forms:
        expect(form.toast("Mind the policy of 30 days")).to_be_visible()
        expect(form.log).to_contain_text("Mind the policy of 30 days")
    forms[0].person_here.shot("guidance")
    expect(olga.log).to_contain_text("Mind the policy of 30 days")
    expect(olga.text("Reasoning")).not_to_be_editable()


def test_the_feed_is_complete_and_in_order_after_a_reconnect(
    service: Service, people: People, session: str
) -> None:
    service.session(session, test_cases=["a"])
    alice = people("alice")
    form = Evaluate.open(alice, session, "a")
    form.online()
    service.publish(session, "guidance.message", {"text": "message 0."})
    expect(form.log).to_contain_text("message 0.")
    alice.go_offline()
    form.offline()
    for number in range(1, 25):
        service.publish(session, "guidance.message", {"text": f"message {number}."})
    alice.go_online()
    expect(form.log).to_contain_text("message 24.")
    told = re.findall(r"message (\d+)\.", form.log.inner_text())
    assert [int(each) for each in told] == list(range(25))


def test_what_is_said_offline_arrives_once(service: Service, people: People, session: str) -> None:
    service.session(session, test_cases=["a"])
    alice = people("alice")
    form = Evaluate.open(alice, session, "a")
    form.online()
    form.kept_for_offline()
    alice.go_offline()
    form.offline()
    for words in ("said offline, first", "said offline, second"):
        form.say(words)
        expect(form.log).to_contain_text(words)
    expect(form.log).to_contain_text("Waiting to be sent")
    form.reload()
    form.offline()
    expect(form.log).to_contain_text("said offline, second")
    alice.go_online()
    form.online()
    expect(form.log.get_by_text("Waiting to be sent")).to_have_count(0)
    until(alice.page, "navigator.onLine")
    assert said(service, session) == ["said offline, first", "said offline, second"]
    for words in said(service, session):
        expect(form.log.get_by_text(words)).to_have_count(1)


def said(service: Service, session: str) -> list[Any]:
    """What people said in the session."""
    events = service.events(session)
    return [each["data"]["text"] for each in events if "text" in each["data"]]
