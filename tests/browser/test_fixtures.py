"""The fixtures themselves, with a page that is as simple as can be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal
from playwright.sync_api import expect
from pycrdt import Map

from tests.browser.chromium import Launched
from tests.browser.conftest import People
from tests.browser.people import until
from tests.browser.service import Service

PAGE = """<!doctype html><title>a page</title><link rel="icon" href="data:,">
<p id="where"></p><p id="told"></p>
<script type="module" src="/assets/page-1.js"></script>"""
SCRIPT = """
const link = new URLSearchParams(location.hash.slice(1))
document.querySelector('#where').textContent = [...link.keys()].join(' ')
const told = document.querySelector('#told')
const scheme = location.protocol.replace('http', 'ws')
const query = new URLSearchParams({ token: link.get('token') })
const socket = new WebSocket(`${scheme}//${location.host}/sync/drafts/s1/a?${query}`)
socket.onopen = () => { told.textContent = 'online' }
socket.onclose = () => { told.textContent = 'offline' }
"""
REACHES = "fetch('/healthz').then(() => true, () => false)"


@pytest.fixture(scope="module")
def page_service(
    chromium: Launched,  # noqa: ARG001 - first: without a browser no service need be started
    portal: BlockingPortal,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    page = tmp_path_factory.mktemp("page")
    (page / "assets").mkdir()
    (page / "index.html").write_text(PAGE)
    (page / "assets/page-1.js").write_text(SCRIPT)
    with Service(portal, page.parent / f"{page.name}.db", web=page) as service:
        yield service


@pytest.fixture
def service(page_service: Service) -> Service:
    """With that page."""
    page_service.troubled = False
    return page_service


def test_somebody_opens_the_page_and_loses_the_network(people: People, artefacts: Path) -> None:
    alice, bob = people("alice"), people("bob")
    for each in (alice, bob):
        page = each.open("s1")
        expect(page.locator("#where")).to_have_text("token session")
        expect(page.locator("#told")).to_have_text("online")
    alice.network.cut()
    expect(alice.page.locator("#told")).to_have_text("offline")
    expect(bob.page.locator("#told")).to_have_text("online")
    assert alice.page.evaluate(REACHES) is False
    assert bob.page.evaluate(REACHES) is True
    alice.network.restore()
    expect(alice.open("s1").locator("#told")).to_have_text("online")
    assert alice.shot("online").parent == artefacts


def test_the_service_is_killed_and_comes_back(service: Service, people: People) -> None:
    alice = people("alice")
    told = alice.open("s1").locator("#told")
    expect(told).to_have_text("online")
    service.edit("drafts/s1/a", lambda doc: doc.get("fields", type=Map).update({"q": 1}))
    service.kill()
    expect(told).to_have_text("offline")
    assert service.on_disk("drafts/s1/a") == {"fields": {"q": 1}}
    service.start()
    assert service.fresh("drafts/s1/a") == {"fields": {"q": 1}}
    expect(alice.open("s1").locator("#told")).to_have_text("online")


def test_a_session_is_made_and_led(service: Service, people: People) -> None:
    people("alice")  # with a browser open, the thread of the test counts as an event loop's
    told = service.session("s1", test_cases=["a"])
    assert (told["state"], told["form"]["id"]) == ("running", "help-desk")
    for _ in range(2):
        service.publish("s1", "guidance.note", {"text": "look at the policy"})
    assert service.step("s1", "stop")["state"] == "stopped"
    kinds = [each["kind"] for each in service.events("s1")]
    assert kinds[:2] == ["session.created", "session.started"]
    assert kinds.count("guidance.note") == 2
    assert kinds[-1] == "session.stopped"


def test_what_goes_wrong_in_a_page_is_a_problem(people: People) -> None:
    alice = people("alice")
    page = alice.open("s1")
    for script in ("setTimeout(() => { throw new Error('boom') })", "console.error('bang')"):
        with page.context.expect_event("weberror" if "boom" in script else "console"):
            page.evaluate(f"() => {{ {script} }}")
    boom, bang = alice.problems
    assert "boom" in boom
    assert "bang" in bang
    alice.expect("boom", "^console: bang")
    assert alice.problems == []


def test_a_network_that_swallows_everything(people: People) -> None:
    alice = people("alice")
    page = alice.open("s1")
    expect(page.locator("#told")).to_have_text("online")
    alice.network.hold()
    page.evaluate(
        f"() => {{ window.reached = null; {REACHES}.then(it => {{ window.reached = it }}) }}"
    )
    with pytest.raises(AssertionError, match=r"not true within 0\.3 s"):
        until(page, "window.reached !== null", within=0.3)
    expect(page.locator("#told")).to_have_text("online")
    alice.network.restore()
    until(page, "window.reached")
    expect(page.locator("#told")).to_have_text("online")


async def test_asyncio_runs_beside_the_browser() -> None:
    """In the same worker, after a test with the browser."""
