"""The session that ``draftsync demo`` opens in the web app: a project, its cases, its people.

Alice and Bob have begun with the first case, so that there is something to see.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread

from sync.cli.http import Service, open_service
from sync.client import DocumentClient
from sync.core.crdt import Doc, Map, Text

SESSION = "help-desk"
LEAD, EVALUATORS, OBSERVER = "lena", ("alice", "bob"), "olga"
CASES: Mapping[str, str] = {
    "late-refund": "Refund 45 days after the purchase",
    "angry-customer": "Third delivery in a row came late",
    "lost-password": "Locked out, and the phone is new",
    "cancel-contract": "Cancel now, or at the end of the year?",
}
"""Title by id."""

CHECKOUT = Path(__file__).parents[2]
WEBAPP = CHECKOUT / "examples" / "webapp"
FORM = WEBAPP / "forms" / "help-desk.json"

Tokens = Callable[[str], str]
"""A token for one of the people."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What somebody has filled in, in the shape of drafts."""

    ratings: Mapping[str, object] = field(default_factory=dict)  # one's own
    fields: Mapping[str, object] = field(default_factory=dict)  # everybody's
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    comments: Mapping[str, str] = field(default_factory=dict)


BEGUN: Mapping[str, Answers] = {
    "alice": Answers(
        ratings={
            "accuracy": 2,
            "completeness": 4,
            "source-named": False,
            "tone": 5,
            "empathy": 4,
            "own-labels": ["money"],
        },
        tags={"topics": ["refund"]},
        comments={"reasoning": "Friendly and clear, but no refund is due after 45 days. "},
    ),
    "bob": Answers(
        ratings={
            "accuracy": 1,
            "tone": 4,
            "policy-kept": False,
            "severity": "critical",
            "what-went-wrong": ["invented-fact", "no-handover"],
        },
        fields={"verdict": "unsure"},
        tags={"topics": ["policy"]},
        comments={"accuracy": "The policy ends after 30 days; it made up an exception."},
    ),
}


def sample_form() -> dict[str, Any] | None:
    """The form of the demo; None where the examples are not."""
    if not FORM.is_file():
        return None
    form: dict[str, Any] = json.loads(FORM.read_text())
    return form


def outline(session: str, form: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the lead sends to create the session."""
    invited = [{"subject": each, "role": "evaluator"} for each in EVALUATORS]
    told: dict[str, Any] = {
        "id": session,
        "project": "Help desk agent",
        "title": "Autumn release, second round",
        "test_cases": [{"id": case, "title": title} for case, title in CASES.items()],
        "members": [*invited, {"subject": OBSERVER, "role": "observer"}],
    }
    return told if form is None else told | {"form": dict(form)}


async def open_session(url: str, token: Tokens) -> str:
    """Create and start the session, with its first answers; return its id.

    One that is there already, in a database that is given again, goes on if it was not stopped.
    Raises ServiceError, ClientError.
    """
    async with open_service(url, lambda: token(LEAD)) as service:
        states = {each["id"]: each["state"] for each in (await service.get("sessions"))["sessions"]}
        session = next(name for name in _names() if states.get(name) != "stopped")
        if session in states:
            return session
        form = await anyio.to_thread.run_sync(sample_form)
        await _create(service, session, form)
    for subject in (*EVALUATORS, OBSERVER):  # with their names, and not only as invited
        async with open_service(url, partial(token, subject)) as service:
            await service.post("sessions", session, "join")
    if form is not None:
        for subject, answers in BEGUN.items():
            await _answer(url, f"drafts/{session}/{next(iter(CASES))}", subject, token, answers)
    return session


async def _create(service: Service, session: str, form: Mapping[str, Any] | None) -> None:
    await service.post("sessions", body=outline(session, form))
    await service.post("sessions", session, "start")


def _names() -> Iterator[str]:
    yield SESSION
    number = 2
    while True:
        yield f"{SESSION}-{number}"
        number += 1


async def _answer(url: str, document: str, subject: str, token: Tokens, answers: Answers) -> None:
    doc: Doc[Any] = Doc()
    async with DocumentClient(url, document, doc, token=token(subject)) as client:
        await client.synced()
        with doc.transaction():
            fill_in(doc, subject, answers)
        await client.saved()


def fill_in(doc: Doc[Any], subject: str, answers: Answers) -> None:
    """Write answers into a draft, beside those of others."""
    doc.get("ratings", type=Map).update(
        {f"{subject}/{question}": value for question, value in answers.ratings.items()}
    )
    doc.get("fields", type=Map).update(dict(answers.fields))
    for question, tags in answers.tags.items():
        doc.get(f"tags/{question}", type=Map).update(dict.fromkeys(tags, True))
    for question, words in answers.comments.items():
        comment: Text = doc.get(f"comment/{question}", type=Text)
        comment += words
