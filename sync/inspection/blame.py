"""Who set the values that a document holds, when, and from what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from persistence.store import Past, Position
from sync.core.changes import ABSENT, Place, order, places
from sync.core.chronicle import BASE, Attempt
from sync.core.content import content
from sync.core.events import iso
from sync.core.stretches import Stretch, stretches
from sync.forms.definition import FormDefinition
from sync.inspection.authors import Credit
from sync.inspection.labels import label
from sync.inspection.story import Story, retell
from sync.inspection.versions import PAUSE_SECONDS


@dataclass(frozen=True, slots=True)
class Overruled:
    """A value that somebody set at the same time as another one was set that stands."""

    author: str | None
    position: Position
    time: float
    offline: bool
    value: object  # ABSENT: it was lost before the service got it

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "author": self.author,
            "position": self.position,
            "time": iso(self.time),
            "offline": self.offline,
        }
        return told if self.value is ABSENT else told | {"value": self.value}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a text, and who wrote it; None: not known."""

    author: str | None
    text: str

    def to_json(self) -> dict[str, Any]:
        return {"author": self.author, "text": self.text}


@dataclass(frozen=True, slots=True)
class Blame:
    """Who last changed what stands in a place, or took it away.

    Where the kept history does not tell, because the change is older, ``author``, ``position`` and
    ``time`` are None.
    """

    place: Place
    value: object  # ABSENT: it was deleted
    before: object  # what stood there before, or ABSENT
    author: str | None
    position: Position | None
    time: float | None  # seconds since the Unix epoch, when it was received
    offline: bool  # it was made before its connection began
    away_seconds: float | None  # since the previous edit of the same Yjs client, where there is one
    introduced_by: str | None  # who brought it, where that is not its author
    overruled: tuple[Overruled, ...]
    spans: tuple[Span, ...]  # of a text

    def to_json(self, definition: FormDefinition | None = None) -> dict[str, Any]:
        told: dict[str, Any] = {
            "field": str(self.place),
            "root": self.place.root,
            "key": self.place.key,
            "label": label(self.place, definition),
        }
        if self.value is not ABSENT:
            told["value"] = self.value
        if self.before is not ABSENT:
            told["before"] = self.before
        return told | {
            "author": self.author,
            "position": self.position,
            "time": None if self.time is None else iso(self.time),
            "offline": self.offline,
            "away_seconds": self.away_seconds,
            "introduced_by": self.introduced_by,
            "overruled": [each.to_json() for each in self.overruled],
            "spans": [each.to_json() for each in self.spans],
        }


def blame(past: Past) -> list[Blame]:
    """For each place who last changed it, ordered by place; those that were emptied too.

    Of a value that was set as one, ``before`` is the value that it replaced. Where something inside
    a place was changed, as in a text, it is what stood there before the last author began, with no
    pause above PAUSE_SECONDS. Call it on a deep stack. Raises NativeFailure.
    """
    return retell(past, blames)


def blames(story: Story) -> list[Blame]:
    """:func:`blame` of a past that was read."""
    began = {place: story.before(place, _began(story, place)) for place in story.touched}
    read = story.read((index, place) for place, index in began.items())
    update, before = read.document.encode(), read.values
    now, written = places(content(update)), stretches(update)
    found = [_unknown(story, place, now[place], written) for place in now if place not in began]
    for place, index in began.items():
        value = now.get(place, ABSENT)
        if value is not ABSENT or before[index, place] is not ABSENT:
            found.append(_known(story, place, value, before[index, place], written))
    return sorted(found, key=lambda each: order(each.place))


def _began(story: Story, place: Place) -> int:
    """The entry with which the last author of a place began to change it."""
    touched = story.touched[place]
    began = touched[-1]
    for earlier in reversed(touched[:-1]):
        one, other = story.entries[earlier].edit, story.entries[began].edit
        if (
            story.touches[began][place].whole
            or other.received_at - one.received_at > PAUSE_SECONDS
            or _credit(story, place, earlier) != _credit(story, place, began)
        ):
            break
        began = earlier
    return began


def _credit(story: Story, place: Place, index: int) -> Credit:
    """Who changed a place with an entry; of several, one whose own edit it is."""
    clients = story.touches[index][place].clients
    known = [story.authors.of_client(index, client) for client in clients]
    own = [each for each in known if each.introduced_by is None]
    return next(iter(own or known), story.authors.of_entry(index))


def _known(
    story: Story,
    place: Place,
    value: object,
    before: object,
    written: Mapping[str, list[Stretch]],
) -> Blame:
    index = story.touched[place][-1]
    entry = story.entries[index]
    credit = _credit(story, place, index)
    return Blame(
        place,
        value,
        before,
        credit.author,
        entry.position,
        entry.edit.received_at,
        entry.edit.offline,
        story.authors.away(index, story.touches[index][place].clients),
        credit.introduced_by,
        tuple(
            _overruled(story, each) for each in story.chronicle.attempts(place) if each.entry >= 0
        ),
        _spans(story, place, written),
    )


def _unknown(
    story: Story, place: Place, value: object, written: Mapping[str, list[Stretch]]
) -> Blame:
    """It was set before the history begins that is kept."""
    spans = _spans(story, place, written)
    return Blame(place, value, ABSENT, None, None, None, False, None, None, (), spans)


def _overruled(story: Story, attempt: Attempt) -> Overruled:
    position, edit = story.entries[attempt.entry]
    author = story.authors.of_client(attempt.entry, attempt.client).author
    return Overruled(author, position, edit.received_at, edit.offline, attempt.value)


def _spans(story: Story, place: Place, written: Mapping[str, list[Stretch]]) -> tuple[Span, ...]:
    if place.key is not None:
        return ()
    pieces: list[Span] = []
    for client, start, end, text in written.get(place.root, []):
        code_units = text.encode("utf-16-le", "surrogatepass")
        for low, high, index in story.chronicle.writers(client, start, end):
            part = code_units[2 * (low - start) : 2 * (high - start)]
            author = story.authors.of_client(index, client).author if index != BASE else None
            pieces.append(Span(author, part.decode("utf-16-le", "replace")))
    return tuple(
        Span(author, "".join(piece.text for piece in run))
        for author, run in groupby(pieces, key=lambda piece: piece.author)
    )
