"""Random histories: the past is what replicas saw, blame names who did it, restoring converges.

The oracle knows nothing of items: every value that is set is set once, so a value tells who wrote
it (but for one that an undo brought back), and of texts every letter does. What a document held at
each position, replicas tell that heard the log up to there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pycrdt
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.core.changes import ABSENT, Place, difference, patched, places
from sync.core.guard import inspect
from sync.core.restoring import restoration
from sync.inspection.blame import blame
from sync.inspection.state import state
from sync.inspection.versions import versions
from tests.core.authors import EMPTY, Author
from tests.inspection.pasts import Log

EXAMPLES = int(os.environ.get("DRAFTSYNC_EXAMPLES", "0"))
"""More than in every run, and others each time."""

histories = settings(deadline=None, derandomize=not EXAMPLES, max_examples=EXAMPLES or 60)

KEYS = ("score", "verdict")
LETTERS = {"alice": "a", "bob": "b😀", "carol": "c"}


@dataclass
class Person:
    """Somebody with a document of their own, online or not."""

    subject: str
    author: Author
    online: bool = True
    history: pycrdt.UndoManager = field(init=False)  # of the form

    def __post_init__(self) -> None:
        self.begin(self.author)

    def begin(self, author: Author) -> None:
        self.author = author
        self.history = pycrdt.UndoManager(scopes=[author.map], capture_timeout_millis=0)

    def undo(self) -> bytes:
        made = [EMPTY]
        watch = self.author.doc.observe(lambda event: made.append(event.update))
        self.history.undo()
        self.author.doc.unobserve(watch)
        return made[-1]


@dataclass
class World:
    """Some people, the log of what reached the service, and who wrote which value."""

    log: Log = field(default_factory=Log)
    server: Author = field(default_factory=lambda: Author(2**31))
    people: list[Person] = field(default_factory=list)
    subjects: dict[int, str] = field(default_factory=dict)  # by client id
    wrote: dict[object, int] = field(default_factory=dict)  # the client id of each value
    seen: set[int] = field(default_factory=set)  # client ids whose owners brought edits
    redone: set[object] = field(default_factory=set)  # values that somebody's undoing brought back

    def __post_init__(self) -> None:
        # Of two who write at once, that with the higher client id wins: not always the later one.
        for subject, client in zip(LETTERS, (20, 10, 30), strict=True):
            self.people.append(Person(subject, Author(client)))
            self.subjects[client] = subject

    def value(self, person: Person) -> int:
        number = len(self.wrote) + 1
        self.wrote[number] = person.author.client
        return number

    def arrive(self, person: Person, update: bytes, *, offline: bool) -> None:
        """An update of a person reaches the service."""
        footprint = inspect(update)
        if not footprint.news(self.log.clocks) and not footprint.deletes:
            return
        own = {each for each in footprint.writes if self.subjects[each] == person.subject}
        self.seen |= own & footprint.news(self.log.clocks).keys()
        time = len(self.log.entries) * 1.0
        others = footprint.writes.keys() - own
        self.log.add(person.subject, update, time, offline=offline, introduced=others)
        self.server.hear(update)

    def arrive_live(self, person: Person, update: bytes) -> None:
        """What they have from others past the service comes with it."""
        if person.online:
            lacks = inspect(update).needs.items()
            if any(end > self.log.clocks.get(client, 0) for client, end in lacks):
                update = person.author.lacking(self.server.state_vector)
            self.arrive(person, update, offline=False)

    def do(self, who: int, what: str, where: int, size: int) -> None:
        person = self.people[who]
        author = person.author
        match what:
            case "leave":
                person.online = False
            case "gossip":
                author.hear(self.people[(who + 1) % 3].author.everything())
            case "lend":  # what somebody made offline comes by another one
                for step in ((1, "leave"), (1, "set"), (1, "write"), (0, "gossip"), (0, "set")):
                    self.do((who + step[0]) % 3, step[1], where, size)
            case "reload":
                person.begin(Author(author.client + 100, author.everything()))
                self.subjects[person.author.client] = person.subject
            case "resend" if person.online:
                self.arrive(person, author.everything(), offline=True)
            case "undo":
                before = {author.map.get(key) for key in KEYS}
                self.arrive_live(person, person.undo())
                self.redone |= {author.map.get(key) for key in KEYS} - before
            case "hear":
                if not person.online:
                    update = author.lacking(self.server.state_vector)
                    self.arrive(person, update, offline=True)
                    person.online = True
                author.hear(self.server.everything())
            case _:
                update = author.edit(lambda: self.edit(person, what, where, size))
                self.arrive_live(person, update)

    def edit(self, person: Person, what: str, where: int, size: int) -> None:
        author = person.author
        key = KEYS[where % len(KEYS)]
        text, array = author.text, author.array
        if what == "set":
            author.map[key] = self.value(person)
        elif what == "drop" and key in author.map:
            del author.map[key]
        elif what == "write":
            characters = str(text)
            at = len(characters[: where % (len(characters) + 1)].encode())
            text.insert(at, LETTERS[person.subject] * size)
        elif what == "format":
            end = len(str(text)[: where % (len(str(text)) + 1)].encode())
            text.format(0, end, {"bold": True if size > 1 else None})
        elif what == "erase" and len(text):
            characters = str(text)
            start = where % len(characters)
            at = len(characters[:start].encode())
            del text[at : at + len(characters[start : start + size].encode())]
        elif what == "add":
            array.insert(where % (len(array) + 1), self.value(person))
        elif what == "remove" and len(array):
            del array[where % len(array)]
        elif what == "nest":
            author.map["nest"] = pycrdt.Map({"list": pycrdt.Array([]), "text": pycrdt.Text("")})
        elif what == "nested" and "nest" in author.map:
            self.edit_nested(author.map["nest"], person, where, size)

    def edit_nested(self, nest: pycrdt.Map[Any], person: Person, where: int, size: int) -> None:
        if where % 4 == 0:
            nest["list"].append(self.value(person))
        elif where % 4 == 1 and len(nest["list"]):
            del nest["list"][0]
        elif where % 4 == 2:
            nest["text"].insert(0, LETTERS[person.subject] * size)
        else:
            nest["value"] = self.value(person)


WORDS = (
    *("set", "set", "drop", "write", "write", "erase", "add", "remove", "nest", "nested"),
    *("leave", "hear", "hear", "gossip", "lend", "reload", "resend", "undo", "format"),
)
steps = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(WORDS), st.integers(0, 30), st.integers(1, 3)),
    min_size=8,
    max_size=30,
)
Step = tuple[int, str, int, int]


def lived(happened: list[Step]) -> World:
    world = World()
    for step in happened:
        world.do(*step)
    for who in range(3):
        world.do(who, "leave", 0, 1)
        world.do(who, "hear", 0, 1)
    return world


def seen(log: Log) -> list[dict[str, object]]:
    """What a replica holds that hears the log: before the first entry, and behind each."""
    replica = Author(2**32 - 1)
    held = [dict[str, object]()]
    for entry in log.entries:
        replica.hear(entry.edit.update)
        held.append({root: value for root, value in replica.content.items() if value})
    return held


def filled(held: dict[str, object]) -> dict[str, object]:
    return {root: value for root, value in held.items() if value}


@histories
@given(steps, st.integers(0, 100))
def test_the_past_is_what_a_replica_saw_that_stopped_there(happened: list[Step], cut: int) -> None:
    log = lived(happened).log
    base = cut % (len(log.entries) + 1)
    for position, held in enumerate(seen(log)):
        then = state(log.past(position))
        assert filled(then.content) == held
        if position >= base:
            assert filled(state(log.past(position, base)).content) == held


@histories
@given(steps)
def test_each_entry_changed_what_differs_between_before_and_after(happened: list[Step]) -> None:
    log = lived(happened).log
    told = {int(each.first): set(map(repr, each.changes)) for each in versions(log.past(), -1.0)}
    held = seen(log)
    for position, (before, after) in enumerate(pairwise(held), 1):
        changes = difference(content_of(before), content_of(after))
        assert told[position] == set(map(repr, changes)), position


def content_of(held: dict[str, object]) -> dict[str, object]:
    """With whole numbers, as JSON has them."""

    def whole(value: object) -> object:
        if isinstance(value, float):
            return int(value)
        if isinstance(value, list):
            return [whole(item) for item in value]
        if isinstance(value, dict):
            return {key: whole(value[key]) for key in sorted(value)}
        return value

    return {root: whole(value) for root, value in held.items()}


@histories
@given(steps)
def test_blame_names_who_did_it(happened: list[Step]) -> None:
    world = lived(happened)
    held = [places(content_of(each)) for each in seen(world.log)]
    told = {each.place: each for each in blame(world.log.past())}
    assert {place: each.value for place, each in told.items() if each.value is not ABSENT} == held[
        -1
    ]
    for key in KEYS:
        place = Place("form", key)
        values = [each.get(place, ABSENT) for each in held]
        changed = [at for at in range(1, len(values)) if values[at] != values[at - 1]]
        if not changed:
            assert place not in told
            continue
        one, position = told[place], changed[-1]
        assert (one.position, one.value, one.before) == (
            position,
            values[position],
            values[position - 1],
        )
        if one.value is not ABSENT and one.value not in world.redone:
            expect_author(world, world.wrote[one.value], one.author, one.introduced_by)
        for attempt in one.overruled:
            assert attempt.value != one.value
            if attempt.author is not None and attempt.value not in world.redone:
                assert world.subjects[world.wrote[attempt.value]] == attempt.author
    expect_spans(world, told, held[-1].get(Place("notes"), ""))


def expect_author(world: World, wrote: int, author: str | None, introduced_by: str | None) -> None:
    subject = world.subjects[wrote]
    if author is None:
        assert wrote not in world.seen, "they brought edits of their own: they are known"
        assert introduced_by not in (None, subject)
    else:
        assert author == subject
        assert introduced_by != author


def expect_spans(world: World, told: dict[Place, Any], text: object) -> None:
    spans = told[Place("notes")].spans if Place("notes") in told else ()
    assert "".join(span.text for span in spans) == text
    for span in spans:
        if span.author is not None:
            assert set(span.text) <= set(LETTERS[span.author])
        else:
            unseen = world.subjects.keys() - world.seen
            assert any(set(span.text) & set(LETTERS[world.subjects[each]]) for each in unseen)


@histories
@given(steps, st.integers(0, 100))
def test_a_restored_document_is_what_it_was(happened: list[Step], cut: int) -> None:
    log = lived(happened).log
    wanted = state(log.past(cut % (len(log.entries) + 1)))
    now = state(log.past())
    update = restoration(now.update, wanted.update)
    if update is None:
        assert filled(now.content) == filled(wanted.content)
        return
    inspect(update)
    log.add("admin", update)
    assert filled(state(log.past()).content) == filled(wanted.content)


@histories
@given(steps, steps, st.integers(0, 100))
def test_live_clients_merge_a_restoration(
    happened: list[Step], meanwhile: list[Step], cut: int
) -> None:
    world = lived(happened)
    log = world.log
    wanted = state(log.past(cut % (len(log.entries) + 1)))
    update = restoration(state(log.past()).update, wanted.update)
    for step in meanwhile:
        if step[1] not in ("leave", "hear", "gossip", "lend"):
            world.do(*step)
    if update is not None:
        log.add("admin", update)
        world.server.hear(update)
    for person in world.people:
        person.author.hear(world.server.everything())
    everyone = [world.server.content, *(person.author.content for person in world.people)]
    assert all(one == everyone[0] for one in everyone)
    assert filled(state(log.past()).content) == filled(everyone[0])


@histories
@given(steps, st.integers(0, 100))
def test_what_differs_makes_one_content_of_the_other(happened: list[Step], cut: int) -> None:
    log = lived(happened).log
    one = filled(state(log.past(cut % (len(log.entries) + 1))).content)
    other = filled(state(log.past()).content)
    assert patched(one, difference(one, other)) == other
    assert patched(other, difference(other, one)) == one
