"""The live monitor: what leads and administrators see while others work."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import People
from tests.browser.evaluate import Evaluate
from tests.browser.people import Person
from tests.browser.service import Service

CASES = [{"id": "a", "title": "A late refund"}, {"id": "b", "title": "An angry customer"}]


def in_list(page: Page, session: str) -> Locator:
    """The row of a session in the table of all."""
    link = page.locator(f"a[href='#/monitor/{session}']")
    return page.get_by_role("region", name="Sessions").get_by_role("row").filter(has=link)


def follow(person: Person, session: str) -> Page:
    """From all sessions to this one."""
    page = person.open(page="monitor")
    page.get_by_role("row").filter(has_text=session).get_by_role("link").click()
    return page


def row(page: Page, table: str, head: str) -> Locator:
    """A row of the table of a section, by its head."""
    section = page.get_by_role("region", name=table)
    return section.get_by_role("row").filter(has=page.get_by_role("rowheader", name=head))


def test_a_lead_watches_progress_as_it_moves(
    service: Service, people: People, session: str
) -> None:
    service.session(session, test_cases=CASES)
    lena, alice = people("lena"), people("alice")
    monitor = follow(lena, session)
    expect(monitor.get_by_role("heading", level=1)).to_have_text("Autumn release, second round")
    expect(row(monitor, "People", "Alice").get_by_label("Offline")).to_be_visible()
    form = Evaluate.open(alice, session, "a")
    form.online()
    expect(row(monitor, "People", "Alice").get_by_label("Online")).to_be_visible()
    expect(row(monitor, "People", "Alice")).to_contain_text("A late refund")
    meter = row(monitor, "Progress", "A late refund").get_by_role("meter", name="Alice")
    expect(meter).to_have_accessible_name("Alice: 0 of 7 required questions answered")
    for done, question in enumerate(("Accuracy", "Completeness", "Tone"), start=1):
        form.score(question, 4)
        name = f"Alice: {done} of 7 required questions answered"
        expect(meter).to_have_accessible_name(name)
    expect(row(monitor, "Progress", "A late refund")).to_contain_text("by Alice")
    other = row(monitor, "Progress", "An angry customer").get_by_role("meter", name="Alice")
    expect(other).to_have_accessible_name("Alice: 0 of 7 required questions answered")
    lena.shot("monitor")


def test_the_monitor_tells_connections_and_the_feed(
    service: Service, people: People, session: str
) -> None:
    service.session(session, test_cases=CASES)
    lena, bob = people("lena"), people("bob")
    Evaluate.open(bob, session, "b").online()
    monitor = follow(lena, session)
    connections = row(monitor, "People", "Bob").get_by_role("group")
    connections.get_by_text(re.compile(r"\d connections?")).click()
    expect(connections.get_by_role("listitem").filter(has_text="draft b")).to_be_visible()
    log = monitor.get_by_role("log")
    expect(log).to_contain_text("You started the session")
    service.publish(session, "guidance.message", {"text": "Mind the policy of 30 days"})
    expect(log).to_contain_text("Mind the policy of 30 days")
    service.step(session, "pause")
    expect(monitor.get_by_text("Paused", exact=True)).to_be_visible()
    bob.context.close()
    expect(row(monitor, "People", "Bob").get_by_label("Offline")).to_be_visible()


def test_an_administrator_sees_the_service_and_all_sessions(
    service: Service, people: People, session: str
) -> None:
    service.session(session, test_cases=CASES)
    another = f"{session}-another"
    service.session(another, test_cases=CASES, title="Another round", start=False)
    admin = people("admin")
    page = admin.open()
    expect(page.get_by_role("heading", level=1)).to_have_text("Live monitor")
    figures = page.get_by_role("region", name="The service")
    expect(figures.get_by_text("Ready")).to_be_visible()
    expect(in_list(page, another)).to_contain_text("Created")
    expect(in_list(page, session)).to_contain_text("Running")
    service.step(another, "start")
    expect(in_list(page, another)).to_contain_text("Running")
    admin.shot("administrator")
    in_list(page, session).get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Autumn release, second round")
