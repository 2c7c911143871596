"""A database of a million edits: ``python -m tests.support.million --path FILE``.

Ten thousand drafts, filled in over some weeks by three people each: ratings that are given and
changed, comments that are typed, tags. Most drafts have less than a hundred edits, one in a hundred
some two thousand. Some two hundred different histories are made by Yjs documents that exchange
their updates, and every draft is given one of them, under its own name and at its own time: what
is stored is what clients sent, and looks to the store like any other edit. Forty drafts are edited
at a time, so that their entries lie between each other, as they do in a service.

Snapshots are written as the service writes them: behind each ``TAIL`` edits, in the next pause.
Two hundred of the drafts belong to two sessions with a form.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from zlib import crc32

import anyio
from pycrdt import Doc, Map, Text, TransactionEvent

from persistence.sqlite import open_sqlite
from persistence.store import (
    ClientRange,
    Edit,
    Event,
    Position,
    Record,
    SessionState,
    Snapshot,
    Store,
)
from sync.core.document import Document
from sync.core.guard import inspect
from sync.core.session import Member as SessionMember
from sync.core.session import Role, Session, SessionId, State, TestCase, body, draft_name

PEOPLE = ("alice", "bob", "chiara", "dave", "emeka", "farah", "gustav", "hana")
BEGAN = 1_772_000_000.0  # 2026-02-25
TAIL = 500
TOGETHER = 40  # drafts that are edited at the same time
BATCH = 500  # edits of one commit
SESSIONS = ("evaluation-1", "evaluation-2")
CASES = 100  # of each
QUESTIONS = ("accuracy", "clarity", "tone", "safety", "effort")
WORDS = ("right", "but", "too", "long", "for", "what", "was", "asked", "refund", "rule", "misses")
FORM = {
    "id": "agent-eval",
    "title": "How well did it do?",
    "sections": [
        {
            "id": "quality",
            "title": "Quality",
            "questions": [
                *(
                    {
                        "id": name,
                        "kind": "score",
                        "label": name.capitalize(),
                        "min": 1,
                        "max": 5,
                        "required": True,
                        "comment": True,
                    }
                    for name in QUESTIONS
                ),
                {
                    "id": "verdict",
                    "kind": "choice",
                    "label": "Verdict",
                    "options": ["pass", "fail"],
                    "shared": True,
                },
                {"id": "remarks", "kind": "text", "label": "Remarks"},
            ],
        }
    ],
}


@dataclass(frozen=True, slots=True)
class Stroke:
    """One edit of a history; ``after`` are seconds since the one before."""

    update: bytes
    author: str
    clients: tuple[ClientRange, ...]
    after: float
    offline: bool
    whole: tuple[bytes, bytes] | None  # update and state vector of a snapshot that follows


class Person:
    """An evaluator's replica of a draft."""

    def __init__(self, client: int) -> None:
        self.doc: Doc[Any] = Doc(client_id=client)
        self.sent: list[bytes] = []
        self._watching = self.doc.observe(self._note)
        self._taking = False

    def take(self, update: bytes) -> None:
        self._taking = True
        self.doc.apply_update(update)
        self._taking = False

    def _note(self, event: TransactionEvent) -> None:
        if not self._taking:
            self.sent.append(bytes(event.update))


def history(rng: random.Random, edits: int) -> list[Stroke]:
    """What three people did to a draft."""
    people = [Person(rng.getrandbits(31)) for _ in range(3)]
    subjects = rng.sample(PEOPLE, 3)
    server, made, who = Document(), list[Stroke](), 0
    while len(made) < edits:
        who = rng.randrange(3)
        for step in _sitting(rng, people[who].doc, subjects[who]):
            step()
            update = people[who].sent.pop()
            footprint = inspect(update, 3)
            news = footprint.news(server.clocks)
            server.apply(update, footprint)
            for other in people:
                if other is not people[who]:
                    other.take(update)
            clients = tuple(ClientRange(client, *range_) for client, range_ in news.items())
            number = len(made) + 1
            whole = (server.encode(), server.state_vector()) if number % TAIL == 0 else None
            pause = rng.expovariate(1 / 3.0) if made else 0.0
            made.append(Stroke(update, subjects[who], clients, pause, rng.random() < 0.02, whole))
            if len(made) == edits:
                break
        if made:
            made[-1] = _later(made[-1], rng.uniform(300, 7_200))
    return made


def _later(stroke: Stroke, seconds: float) -> Stroke:
    return Stroke(
        stroke.update, stroke.author, stroke.clients, stroke.after + seconds,
        stroke.offline, stroke.whole,
    )  # fmt: skip


def _sitting(rng: random.Random, doc: Doc[Any], subject: str) -> Iterator[Any]:
    """The edits that somebody makes until they pause."""
    ratings = doc.get("ratings", type=Map)
    for name in rng.sample(QUESTIONS, rng.randint(1, 4)):
        yield lambda name=name: ratings.__setitem__(f"{subject}/{name}", rng.randint(1, 5))
    if rng.random() < 0.3:
        fields = doc.get("fields", type=Map)
        yield lambda: fields.__setitem__("verdict", rng.choice(("pass", "fail")))
    text = doc.get(f"comment/{rng.choice((*QUESTIONS, 'remarks'))}", type=Text)
    for _ in range(rng.randint(2, 10)):
        yield lambda: text.insert(len(text), rng.choice(WORDS) + " ")
    if len(text) > 400:
        yield lambda: text.__delitem__(slice(0, 300))


def lengths(rng: random.Random, documents: int, edits: int) -> list[int]:
    """How many edits each draft has: ``edits`` in all."""
    shares = [20.0 if number % 100 == 99 else rng.uniform(0.2, 1.4) for number in range(documents)]
    scale = edits / sum(shares)
    made = [max(1, int(share * scale)) for share in shares]
    made[-1] += max(0, edits - sum(made))
    return made


def names(documents: int) -> list[str]:
    drafts = [draft_name(session, f"case-{n:03}") for session in SESSIONS for n in range(CASES)]
    others = (f"drafts/archive/{number:05}" for number in range(documents))
    return [*drafts, *others][:documents]


async def fill(store: Store, documents: int = 10_000, edits: int = 1_000_000, seed: int = 1) -> int:
    """Write the sessions and all edits; return how many edits."""
    rng = random.Random(seed)
    await store.record([_session(name) for name in SESSIONS])
    wanted = lengths(rng, documents, edits)
    kinds = max(10, min(200, edits // 5_000))
    ordinary = [history(rng, 2 * edits // documents) for _ in range(kinds)]
    longest = [history(rng, max(wanted)) for _ in range(4)]
    work = []
    for name, length in zip(names(documents), wanted, strict=True):
        made = rng.choice(ordinary if length <= len(ordinary[0]) else longest)
        work.append((name, made[:length]))
    clock, written = BEGAN, 0
    for first in range(0, documents, TOGETHER):
        group = work[first : first + TOGETHER]
        told = sorted(_edits_of(group, clock), key=lambda each: each[0].received_at)
        clock = max(clock, told[0][0].received_at + 5_000.0)
        written += await _write(store, told)
    return written


_Told = tuple[Edit, tuple[bytes, bytes] | None]


def _edits_of(group: list[tuple[str, list[Stroke]]], began: float) -> Iterator[_Told]:
    for number, (name, strokes) in enumerate(group):
        at = began + 7.0 * number
        for count, stroke in enumerate(strokes):
            at += stroke.after
            connection = 1 + crc32(name.encode()) % 2**30 + count // 40
            made = Edit(
                name, stroke.update, stroke.author, stroke.clients, at, connection, stroke.offline
            )
            yield made, stroke.whole


async def _write(store: Store, told: list[_Told]) -> int:
    rest = iter(told)
    while batch := list(islice(rest, BATCH)):
        first = await store.append([edit for edit, _ in batch])
        for position, (edit, whole) in enumerate(batch, first):
            if whole is not None:
                update, vector = whole
                at = edit.received_at + 5.0
                await store.compact(Snapshot(edit.document, Position(position), update, vector, at))
    return len(told)


def _session(name: str) -> Record:
    session = Session(
        SessionId(name),
        "e1",
        "Support agent",
        f"Round {name[-1]}",
        tuple(TestCase(f"case-{n:03}", f"Customer {n}") for n in range(CASES)),
        FORM,
        "lena",
        BEGAN,
        State.RUNNING,
        tuple(SessionMember(each, each.capitalize(), Role.EVALUATOR, BEGAN) for each in PEOPLE),
        running_since=BEGAN,
        started_at=BEGAN,
    )
    event = Event(f"created-{name}", "session.created", "lena", BEGAN, "{}")
    return Record(name, event, SessionState("e1", session.state.value, body(session)))


async def make(path: Path, documents: int, edits: int, seed: int = 1) -> int:
    """Write a new database."""
    async with open_sqlite(path, "normal") as store:
        return await fill(store, documents, edits, seed)


def main(path: Path, documents: int, edits: int, seed: int) -> None:
    """Write a new database, and say what came of it."""
    began = time.monotonic()
    written = anyio.run(make, path, documents, edits, seed)
    print(
        f"{written:,} edits of {documents:,} documents in {path}: "
        f"{path.stat().st_size:,} bytes, {time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--edits", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    main(given.path, given.documents, given.edits, given.seed)
