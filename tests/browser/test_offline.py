"""Without a network: nothing typed is lost, and the page says what waits."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import People
from tests.browser.evaluate import Evaluate
from tests.browser.people import until
from tests.browser.service import Service, draft


def together(service: Service, people: People, session: str) -> tuple[Evaluate, Evaluate]:
    """Alice and Bob with one draft that has something in it; Alice's page can open offline."""
    service.session(session, test_cases=["a", "b"])
    alice, bob = (Evaluate.open(people(name), session, "a") for name in ("alice", "bob"))
    for each in (alice, bob):
        each.online()
    alice.text("Reasoning").fill("The refund is late.")
    alice.tag("Topics", "refund")
    bob.score("Tone", 2)
    for each in (alice, bob):
        expect(each.text("Reasoning")).to_have_value("The refund is late.")
        each.saved()
    alice.kept_for_offline()
    return alice, bob


def test_hours_offline_a_reload_and_back(service: Service, people: People, session: str) -> None:
    alice, bob = together(service, people, session)
    alice.person_here.go_offline()
    alice.offline(waiting=0)
    alice.score("Accuracy", 4)
    alice.choose("Verdict", "Pass")
    alice.caret("Reasoning", 0)
    alice.text("Reasoning").press_sequentially("Alice: ")
    alice.untag("Topics", "refund")
    alice.offline()
    waiting = alice.waiting
    assert waiting >= 3
    expect(alice.banner("offline")).to_contain_text(f"{waiting} edits are waiting.")

    bob.choose("Verdict", "Fail")
    bob.score("Accuracy", 1)
    bob.caret_at_end("Reasoning")
    bob.text("Reasoning").press_sequentially(" Bob agrees.")
    bob.tag("Topics", "policy")
    bob.saved()
    assert service.fresh(draft(session, "a"))["ratings"] == {"bob/tone": 2, "bob/accuracy": 1}

    alice.page.evaluate("() => window.scrollTo(0, 0)")
    alice.person_here.shot("offline-with-waiting-edits")
    alice.reload()  # by the service worker
    alice.offline()
    assert alice.waiting == waiting
    expect(alice.text("Reasoning")).to_have_value("Alice: The refund is late.")
    expect(alice.option("Accuracy", "4")).to_be_checked()
    expect(alice.tags("Topics")).to_have_count(0)
    alice.caret_at_end("Reasoning")
    alice.text("Reasoning").press_sequentially(" Still here.")
    alice.offline()
    assert alice.waiting > waiting

    alice.person_here.go_online()
    for each in (alice, bob):
        each.online()
        each.saved()
    words = alice.text("Reasoning").input_value()
    assert words.startswith("Alice: The refund is late.")
    assert sorted(words.removeprefix("Alice: The refund is late.").split(".")) == sorted(
        [" Still here", " Bob agrees", ""]
    )
    expect(bob.text("Reasoning")).to_have_value(words)
    for each in (alice, bob):
        expect(each.tags("Topics")).to_have_count(1)
    kept = service.fresh(draft(session, "a"))
    assert kept["comment/reasoning"] == words
    assert kept["ratings"] == {"alice/accuracy": 4, "bob/accuracy": 1, "bob/tone": 2}
    assert kept["tags/topics"] == {"policy": True}
    for each in (alice, bob):
        label = {"pass": "Pass", "fail": "Fail"}[kept["fields"]["verdict"]]
        expect(each.option("Verdict", label)).to_be_checked()


def test_two_tabs_of_one_person_offline(service: Service, people: People, session: str) -> None:
    alice, _ = together(service, people, session)
    alice.person_here.go_offline()
    alice.offline(waiting=0)
    tab = alice.person_here.tab()
    tab.goto(alice.page.url)
    second = Evaluate(tab, alice.person_here)
    second.offline(waiting=0)
    second.text("Suggested answer").press_sequentially("Sorry")
    alice.score("Accuracy", 3)
    expect(alice.text("Suggested answer")).to_have_value("Sorry")
    expect(second.option("Accuracy", "3")).to_be_checked()
    tab.close()
    alice.person_here.go_online()
    alice.online()
    alice.saved()
    kept = service.fresh(draft(session, "a"))
    assert kept["comment/suggested-answer"] == "Sorry"
    assert kept["ratings"] == {"alice/accuracy": 3, "bob/tone": 2}


def test_what_is_deleted_offline_is_deleted_in_the_end(
    service: Service, people: People, session: str
) -> None:
    alice, bob = together(service, people, session)
    alice.choose("Verdict", "Unsure")
    expect(bob.option("Verdict", "Unsure")).to_be_checked()
    alice.saved()
    alice.person_here.go_offline()
    alice.offline(waiting=0)
    alice.untag("Topics", "refund")
    alice.text("Reasoning").fill("")
    alice.clear("Verdict")
    alice.offline()
    waiting = alice.waiting
    alice.reload()
    alice.offline()
    assert alice.waiting == waiting
    alice.person_here.go_online()
    alice.online()
    alice.saved()
    expect(bob.text("Reasoning")).to_have_value("")
    kept = service.fresh(draft(session, "a"))
    assert {root: value for root, value in kept.items() if value} == {"ratings": {"bob/tone": 2}}


def test_a_network_that_swallows_everything_never_saves(
    service: Service, people: People, session: str
) -> None:
    """The socket stays open, and nothing passes: the page must not take it for saved."""
    alice, _ = together(service, people, session)
    witness = alice.witness("Suggested answer")
    alice.person_here.network.hold()
    alice.text("Suggested answer").press_sequentially("half open")
    alice.not_saved()
    # The browser says that something may be wrong: the page probes, and gives the socket up.
    alice.page.evaluate("() => window.dispatchEvent(new Event('offline'))")
    alice.offline()
    assert not [each for each in witness.moments() if each.texts[0]]
    alice.person_here.network.restore()
    alice.page.evaluate("() => window.dispatchEvent(new Event('online'))")
    alice.online()
    alice.saved()
    assert service.fresh(draft(session, "a"))["comment/suggested-answer"] == "half open"
    until(alice.page, "witness.seen.at(-1)?.texts[0] === 'half open'")
