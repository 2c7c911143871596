"""The administrator's console, where a service of its own is needed: it dies, or forgets people."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import People
from tests.browser.console import Console
from tests.browser.evaluate import Evaluate
from tests.browser.service import Service


@pytest.fixture
def service(own_service: Service) -> Service:
    return own_service


def test_the_service_is_away_and_back(service: Service, people: People) -> None:
    admin = people("admin")
    console = Console.open(service, admin)
    alert = console.page.get_by_role("alert").filter(has_text="has not answered")
    console.page.route("**/status", lambda route: route.fulfill(body="<p>Sign in to this network"))
    expect(alert).to_contain_text("what answers is not the service")
    console.page.unroute("**/status")
    expect(alert).to_be_hidden()
    service.kill()
    expect(console.state("No answer")).to_be_visible()
    expect(alert).to_contain_text("What you see is as of then")
    admin.shot("away")
    service.start()
    console.button("Try now").click()
    expect(console.state("Ready")).to_be_visible()
    expect(alert).to_be_hidden()


def test_a_subject_is_revoked(service: Service, people: People, session: str) -> None:
    service.session(session, test_cases=["a"])
    admin, bob = people("admin"), people("bob")
    bob.expect("status of 401", "4401")
    form = Evaluate.open(bob, session, "a")
    form.online()
    console = Console.open(service, admin, "trouble")
    console.button("Revoke …").click()
    expect(console.page.get_by_text("Name the subject")).to_be_visible()
    console.page.get_by_label("Subject").fill("bob")
    console.button("Revoke …").click()
    console.confirm("Revoke")
    expect(console.region("Revoked tokens").get_by_role("rowheader")).to_have_text(["bob"])
    told = service.api("GET", "revocations", by="admin")
    assert [each["sub"] for each in told["revocations"]] == ["bob"]
    admin.shot("revoked")
