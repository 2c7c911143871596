"""Two evaluators fill in one form at the same time."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import People
from tests.browser.evaluate import Evaluate
from tests.browser.service import Service, draft
from tests.browser.typist import Typist


def both(service: Service, people: People, session: str) -> tuple[Evaluate, Evaluate]:
    """Alice and Bob, with the same draft open."""
    service.session(session, test_cases=["a", "b"])
    alice, bob = (Evaluate.open(people(name), session, "a") for name in ("alice", "bob"))
    for each in (alice, bob):
        each.online()
    return alice, bob


def test_scores_are_ones_own_and_the_verdict_is_everybodys(
    service: Service, people: People, session: str
) -> None:
    alice, bob = both(service, people, session)
    alice.score("Accuracy", 5)
    bob.score("Accuracy", 2)
    alice.choose("Verdict", "Pass")
    bob.choose("Verdict", "Fail")
    for each in (alice, bob):
        expect(each.option("Verdict", "Fail")).to_be_checked()
        each.saved()
    expect(alice.option("Accuracy", "5")).to_be_checked()
    expect(bob.option("Accuracy", "2")).to_be_checked()
    kept = service.fresh(draft(session, "a"))
    assert kept["ratings"] == {"alice/accuracy": 5, "bob/accuracy": 2}
    assert kept["fields"] == {"verdict": "fail"}


def test_texts_and_tags_that_are_typed_at_once_merge(
    service: Service, people: People, session: str
) -> None:
    alice, bob = both(service, people, session)
    alice.text("Reasoning").fill("|")
    expect(bob.text("Reasoning")).to_have_value("|")
    bob.caret("Reasoning", 0)
    alice.caret("Reasoning", 1)
    one = Typist(alice.text("Reasoning"), "a", most=60)
    other = Typist(bob.text("Reasoning"), "b", most=60)
    merged = f"{other.wait()}|{one.wait()}"
    for each, tags in ((alice, ("refund", "policy")), (bob, ("delivery", "policy"))):
        for tag in tags:
            each.tag("Topics", tag)
    alice.untag("Topics", "refund")
    for each in (alice, bob):
        expect(each.text("Reasoning")).to_have_value(merged)
        expect(each.tags("Topics")).to_have_count(2)
        each.saved()
    kept = service.fresh(draft(session, "a"))
    assert kept["comment/reasoning"] == merged
    assert kept["tags/topics"] == {"delivery": True, "policy": True}
    fresh = Evaluate.open(people("bob"), session, "a")
    expect(fresh.text("Reasoning")).to_have_value(merged)


def test_each_sees_who_is_there_and_where(service: Service, people: People, session: str) -> None:
    alice, bob = both(service, people, session)
    for each, other in ((alice, "Bob"), (bob, "Alice")):
        expect(each.person(other)).to_be_visible()
    bob.text("Reasoning").focus()
    expect(alice.at("Reasoning", "Bob")).to_be_visible()
    alice.option("Tone", "3").focus()
    expect(bob.at("Tone", "Alice")).to_be_visible()
    alice.text("Reasoning").scroll_into_view_if_needed()
    alice.person_here.shot("two-people")
    bob.page.context.close()
    expect(alice.person("Bob")).to_be_hidden()
    expect(alice.at("Reasoning", "Bob")).to_be_hidden()


def test_undo_takes_back_ones_own_and_nothing_else(
    service: Service, people: People, session: str
) -> None:
    alice, bob = both(service, people, session)
    alice.text("Reasoning").press_sequentially("from alice ")
    expect(bob.text("Reasoning")).to_have_value("from alice ")
    bob.caret("Reasoning", 0)
    bob.text("Reasoning").press_sequentially("from bob ")
    expect(alice.text("Reasoning")).to_have_value("from bob from alice ")
    alice.undo()
    for each in (alice, bob):
        expect(each.text("Reasoning")).to_have_value("from bob ")
    alice.redo()
    for each in (alice, bob):
        expect(each.text("Reasoning")).to_have_value("from bob from alice ")
    alice.score("Accuracy", 4)
    bob.score("Accuracy", 1)
    alice.text("Reasoning").press("Control+z")
    expect(alice.option("Accuracy", "4")).not_to_be_checked()
    expect(bob.option("Accuracy", "1")).to_be_checked()
    for each in (alice, bob):
        each.saved()
    kept = service.fresh(draft(session, "a"))
    assert kept["ratings"] == {"bob/accuracy": 1}
    assert kept["comment/reasoning"] == "from bob from alice "
