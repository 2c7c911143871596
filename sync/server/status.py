"""What goes on in a session now: who is there, on which draft, and how far they have come.

It is state and no log. Whoever looks loads no room and holds nobody up: drafts are read by
:mod:`sync.server.draft_answers`, and the store is asked for their list now and then.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import anyio

from persistence.store import Head, Position, Reader
from sync.core.events import iso
from sync.core.session import draft_prefix
from sync.forms.definition import FormDefinition, InvalidForm, form_definition
from sync.server.draft_answers import DraftAnswers, Reading
from sync.server.hub import Hub
from sync.server.meters import ChannelStatistics, Meters
from sync.server.resident import Resident
from sync.server.sessions import LiveSession
from sync.server.status_view import Breath, Draft, Json, People, Work, delivery
from sync.server.telemetry import logger

log = logger(__name__)

HEADS_SECONDS = 10.0
"""How long the list of a session's drafts on disk is good for, while they stay in memory."""

READ_SECONDS = 1.0
"""How long one status may read drafts; the others come with the next one."""

PUSH_SECONDS, PUSH_FACTOR = 1.0, 25
"""A status is shown anew after so long at the soonest, and so many times as long as it took."""

SLOW_SECONDS, SLOW_FACTOR = 0.05, 4
"""One that took longer to make is good for so many times as long."""

MOST_DRAFTS = 5_000
"""Of one session that are shown."""

MOST_SHELVES = 1_000
"""Sessions of which something is kept."""

_UNREAD = Reading(None, "it was not read yet: ask again in a moment", current=False)


class Channels(Protocol):
    """The open connections of the event channel."""

    def statistics(self, session: str | None = None) -> Iterable[ChannelStatistics]:
        """Those of one session, or all."""

    def meters_of(self, session: str) -> Meters | None:
        """The delivery of a session's events, while anybody is connected."""


@dataclass(slots=True)
class _Shelf:
    """What is kept of one session between two looks. Times are of the loop's clock."""

    epoch: str
    form: FormDefinition | None
    heads: dict[str, Head] = field(default_factory=dict)
    heads_at: float = float("-inf")
    rooms: dict[str, Resident] = field(default_factory=dict)  # that were in memory since then
    bases: dict[str, int] = field(default_factory=dict)  # of those then: edits before they were
    making: anyio.Event | None = None  # set when it is made
    told: Json | None = None
    version: int = 0  # of what was told
    began: float = 0.0
    seconds: float = 0.0  # that it took to make
    complete: bool = True  # every draft was read

    def good_for(self, factor: float, least: float = 0.0) -> bool:
        """It was made so recently that it is not to be made anew."""
        return anyio.current_time() < self.began + max(least, factor * self.seconds)


class StatusBoard:
    """Tells what goes on in sessions.

    For the event channel: :meth:`shown` is the ``status_of`` that it pushes. It returns the very
    same object until something has changed, and makes a new one at most once a second: it may be
    asked as often as one likes, and what it returns be compared by ``is``.
    """

    def __init__(self, store: Reader, hub: Hub, channels: Channels) -> None:
        self._store = store
        self._hub = hub
        self._channels = channels
        self._answers = DraftAnswers(store)
        self._shelves: OrderedDict[str, _Shelf] = OrderedDict()

    def version(self, live: LiveSession) -> int:
        """A number that is another one when something that is shown has changed, but for times."""
        rooms = [
            (room.document, room.room.version, room.room.saved, *room.connections)
            for room in self._hub.rooms.drafts(live.id)
        ]
        channels = [(each.id, each.in_flight) for each in self._channels.statistics(live.id)]
        acknowledged = sum(live.acknowledged.values())
        return hash((live.top, acknowledged, tuple(rooms), tuple(channels)))

    async def shown(self, live: LiveSession) -> Mapping[str, Any]:
        """What was told last, while nothing has changed or it is too early to tell anew."""
        shelf = self._shelf(live)
        if shelf.told is not None and (
            shelf.good_for(PUSH_FACTOR, PUSH_SECONDS)
            or (shelf.complete and shelf.version == self.version(live))
        ):
            return shelf.told
        return await self.status(live)

    async def status(self, live: LiveSession) -> Json:
        """All that is known now, as JSON. Not to be changed. Raises StoreError.

        Those who ask while one is being made get the next one, together.
        """
        asked = anyio.current_time()
        while True:
            shelf = self._shelf(live)
            slow = shelf.seconds > SLOW_SECONDS and shelf.good_for(SLOW_FACTOR)
            if shelf.told is not None and (shelf.began > asked or slow):
                return shelf.told
            if shelf.making is None:
                return await self._make(shelf, live)
            await shelf.making.wait()

    async def _make(self, shelf: _Shelf, live: LiveSession) -> Json:
        made = shelf.making = anyio.Event()
        try:
            began, version = anyio.current_time(), self.version(live)
            await self._refresh(shelf, live.id)
            drafts = await self._read(shelf, self._drafts(shelf, live.id))
            shelf.told = await self._told(live, shelf.form, drafts)
            shelf.complete = all(each.reading is None or each.reading.current for each in drafts)
            shelf.version, shelf.began = version, began
            shelf.seconds = anyio.current_time() - began
            return shelf.told
        finally:
            shelf.making = None
            made.set()

    def _shelf(self, live: LiveSession) -> _Shelf:
        shelf = self._shelves.get(live.id)
        if shelf is None or shelf.epoch != live.current.epoch:
            shelf = self._shelves[live.id] = _Shelf(live.current.epoch, _form(live))
        self._shelves.move_to_end(live.id)
        while len(self._shelves) > MOST_SHELVES:
            self._shelves.popitem(last=False)
        return shelf

    # -- drafts

    async def _refresh(self, shelf: _Shelf, session: str) -> None:
        """Ask the store for the session's drafts, unless memory tells what became of them."""
        before = self._rooms(session)
        same = all(before.get(name) is room for name, room in shelf.rooms.items())
        age = anyio.current_time() - shelf.heads_at
        if same and age < min(HEADS_SECONDS, self._hub.limits.unload_seconds):
            shelf.rooms |= before
            return
        known = {name: (room.position, _commits(room)) for name, room in before.items()}
        listed = await self._store.heads(draft_prefix(session))
        heads = [each for each in listed if each.deleted is None]
        shelf.heads = {each.document: each for each in heads[:MOST_DRAFTS]}
        shelf.heads_at = anyio.current_time()
        shelf.rooms = self._rooms(session)
        shelf.bases = {
            name: shelf.heads[name].edits - _commits_at(shelf.heads[name].head, known[name], room)
            for name, room in shelf.rooms.items()
            if name in shelf.heads and before.get(name) is room
        }

    def _rooms(self, session: str) -> dict[str, Resident]:
        return {room.document: room for room in self._hub.rooms.drafts(session)}

    def _drafts(self, shelf: _Shelf, session: str) -> list[Draft]:
        """Those that exist, or are open, by name."""
        rooms, prefix = self._rooms(session), draft_prefix(session)
        drafts = []
        for name in sorted({*shelf.heads, *rooms})[:MOST_DRAFTS]:
            head, room = shelf.heads.get(name), rooms.get(name)
            edits = head.edits if head else 0
            if room is not None:
                edits = shelf.bases.get(name, edits) + _commits(room)
            if head or edits or (room and room.connections):
                case, _, evaluator = name.removeprefix(prefix).partition("/")
                drafts.append(Draft(name, case, evaluator or None, head, room, edits))
        return drafts

    async def _read(self, shelf: _Shelf, drafts: list[Draft]) -> list[Draft]:
        """The same, and what they answer; for those that are not current there was no time."""
        form, breath = shelf.form, Breath()
        if form is None:
            return drafts
        until, read = anyio.current_time() + READ_SECONDS, []
        for draft in drafts:
            known = self._answers.known(form, draft.head, draft.room)
            if known or anyio.current_time() < until:
                reading = await self._answers.read(form, draft.head, draft.room)
                await breath.take()
            else:
                reading = _UNREAD
            read.append(replace(draft, reading=reading))
        return read

    # -- telling

    async def _told(
        self, live: LiveSession, form: FormDefinition | None, drafts: list[Draft]
    ) -> Json:
        channels = list(self._channels.statistics(live.id))
        people = People(live, drafts, channels, self._hub.last_edits.known(live.id))
        now, top, session = time.time(), live.top, live.current
        work = Work(session, form, drafts, people)
        meters = self._channels.meters_of(live.id)
        told = {
            "session": session.id,
            "state": str(session.state),
            "epoch": session.epoch,
            "top": top,
            "time": iso(now),
            "active_seconds": round(session.active(now), 3),
            "connections": sum(map(len, people.connections.values())),
            "members": people.tell(),
            "other_documents": work.others(),
            "delivery": None if meters is None else delivery(meters),
        }
        return told | {"test_cases": await work.tell(Breath())}


def _form(live: LiveSession) -> FormDefinition | None:
    if live.current.form is None:
        return None
    try:
        return form_definition(live.current.form)
    except InvalidForm as error:  # of a session that another version made
        log.warning("a session's form cannot be read", session=live.id, error=str(error))
        return None


def _commits(room: Resident) -> int:
    """Entries that were committed since the room was loaded."""
    return room.room.saved + room.commits


def _commits_at(head: Position, before: tuple[Position, int], room: Resident) -> int:
    """How many of them the store had counted in, when it was asked between ``before`` and now."""
    position, commits = before
    return commits if head == position else _commits(room)
