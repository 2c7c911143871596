"""Somebody's tokens are revoked while they type: the page says so, and keeps what was not sent."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import People
from tests.browser.evaluate import Evaluate
from tests.browser.people import until
from tests.browser.service import Service, draft
from tests.browser.typist import Typist

WITHDRAWN = re.compile("Your link has expired or was withdrawn.*kept on this device")


def test_revoked_while_typing(service: Service, people: People, session: str) -> None:
    service.session(session, test_cases=["a"])
    alice, bob = people("alice"), people("bob")
    hers, his = Evaluate.open(alice, session, "a"), Evaluate.open(bob, session, "a")
    hers.online()
    his.online()
    witness = hers.witness("Reasoning")
    typist = Typist(hers.text("Reasoning"), "w")
    until(alice.page, "witness.moments > 2", within=20)  # it said that what was typed is saved
    service.api("POST", "revocations", {"sub": "alice"}, by="admin")
    hers.denied(WITHDRAWN)
    told = witness.moments()  # until then
    length = len(typist.typed)
    until(alice.page, f"typist.typed.length > {length + 20}")
    typed = typist.finish()
    hers.not_saved()
    expect(hers.not_accepted).to_have_count(0)  # nobody refused these edits: they wait
    expect(hers.text("Reasoning")).to_have_value(typed)
    alice.shot("withdrawn")
    assert len(witness.moments()) == len(told), "it does not say again that all is saved"

    stored = str(service.fresh(draft(session, "a"))["comment/reasoning"])
    assert typed.startswith(stored)
    assert len(stored) < len(typed), "something waits"
    assert all(stored.startswith(each.texts[0]) for each in told), "what it said is on disk"
    his.online()  # of him nothing was revoked
    expect(his.text("Reasoning")).to_have_value(stored)

    hers.reload()
    hers.denied(WITHDRAWN)  # the token that the browser has kept is worth nothing
    expect(hers.text("Reasoning")).to_have_value(typed)
    hers.not_saved()

    Evaluate.open(alice, session, "a")  # by a new link
    hers.online()
    hers.saved()
    assert service.fresh(draft(session, "a"))["comment/reasoning"] == typed
    expect(his.text("Reasoning")).to_have_value(typed)
    alice.shot("back")
