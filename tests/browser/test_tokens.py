"""Tokens that live for seconds: renewed while people work, also after they could not be."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route, WebSocket

from tests.browser.conftest import People
from tests.browser.evaluate import Evaluate
from tests.browser.service import Service, draft

DRAFT = draft("s1", "a")
RENEWALS = "**/demo/token"


@pytest.fixture
def token_ttl() -> float:
    return 3.0


@pytest.fixture
def service(own_service: Service) -> Service:
    """With tokens that hold for seconds."""
    return own_service


def test_renewed_with_no_interruption(service: Service, people: People) -> None:
    service.session("s1", test_cases=["a"])
    alice = people("alice")
    opened: list[WebSocket] = []
    renewals: list[str] = []
    alice.page.on("websocket", lambda it: opened.append(it))
    alice.page.on("response", lambda it: renewals.extend([it.url] * it.url.endswith("/demo/token")))
    form = Evaluate.open(alice, "s1", "a")
    form.online()
    statuses = form.watch_statuses()
    sockets = len(opened)
    assert sockets == 2  # the draft's, and the events'
    typed = ""
    while len(renewals) < 4:  # more than six seconds: the first two tokens have expired by then
        form.text("Reasoning").press_sequentially("more ", delay=40)
        typed += "more "
    form.saved()
    assert service.fresh(DRAFT)["comment/reasoning"] == typed
    assert len(opened) == sockets
    assert not any(each.is_closed() for each in opened)
    assert set(statuses()) == {"online"}


def test_the_source_of_tokens_goes_away_and_comes_back(service: Service, people: People) -> None:
    service.session("s1", test_cases=["a"])
    alice = people("alice")
    alice.expect("ERR_FAILED", "4401")
    form = Evaluate.open(alice, "s1", "a")
    form.online()
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    alice.context.route(RENEWALS, refuse)
    form.text("Reasoning").press_sequentially("before. ")
    form.offline()  # the token has expired, and there is no other
    form.text("Reasoning").press_sequentially("meanwhile.")
    form.not_saved()
    assert asked
    alice.context.unroute(RENEWALS)
    form.online()
    form.saved()
    assert service.fresh(DRAFT)["comment/reasoning"] == "before. meanwhile."
