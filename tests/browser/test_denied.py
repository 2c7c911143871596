"""Who is let in no more, or nowhere: the page says why, and keeps what was written."""

from __future__ import annotations

import re

import jwt
from playwright.sync_api import expect

from tests.browser.conftest import People
from tests.browser.evaluate import Evaluate
from tests.browser.service import Service, draft
from tests.support.service import SECRET

# As if it had been kept since then.
_KEEP = "token => localStorage.setItem('draftsync.person:alice', JSON.stringify({ token }))"


def test_who_was_away_too_long_is_told_to_sign_in_again(
    service: Service, people: People, session: str
) -> None:
    """Some hours after its end the service swaps a token for a new one; after days it does not."""
    service.session(session, test_cases=["a"])
    alice = people("alice")
    alice.expect("status of 401")
    form = Evaluate.open(alice, session, "a")
    form.online()
    form.text("Reasoning").press_sequentially("before. ")
    form.saved()
    days = 3 * 86_400
    claims = jwt.decode(service.token("alice"), options={"verify_signature": False})
    old = jwt.encode(claims | {"iat": claims["iat"] - days, "exp": claims["exp"] - days}, SECRET)
    alice.page.evaluate(_KEEP, old)
    alice.page.reload()
    form.denied(re.compile("Your link has expired or was withdrawn"))
    expect(form.text("Reasoning")).to_have_value("before. ")
    form.caret_at_end("Reasoning")
    form.text("Reasoning").press_sequentially("not lost.")
    form.not_saved()
    alice.shot("signed-out")
    Evaluate.open(alice, session, "a")  # by a new link
    form.online()
    form.saved()
    assert service.fresh(draft(session, "a"))["comment/reasoning"] == "before. not lost."


def test_a_token_without_a_right_to_the_draft_is_told(
    service: Service, people: People, session: str
) -> None:
    service.session(session, test_cases=["a"])
    alice = people("alice")
    grants = {"docs": {"drafts/other/*": "write"}, "sessions": {session: "join"}}
    claims = jwt.decode(service.token("alice"), options={"verify_signature": False})
    token = jwt.encode(claims | grants, SECRET)
    alice.page.goto(f"{alice.network.url}/#token={token}&session={session}&case=a")
    form = Evaluate(alice.page, alice)
    form.denied(re.compile("does not let you open this"))
    alice.shot("no-right")
