"""Who is here: the awareness states of one room.

Source of the protocol: github.com/yjs/y-protocols, ``awareness.js``. A state belongs to a client id
and has a clock; receivers take only a higher clock, or the same clock with ``null``.

What this adds, and why (measured with y-websocket 3.0 and 3.1):

- A client id belongs to the connection that introduced it; entries for anybody else's id are
  dropped. (y-websocket sends on whatever it hears, its peers' states included.) A new connection of
  the same subject takes an id over, in its first awareness message, where a client shows its own.
- A connection that ends keeps its states for a grace period, so that a blip is not seen.
- A client that comes back repeats its old clock, and its peers, who saw it removed, would not hear
  it; nor would it hear them. So the clock of a state that is announced again is raised by one, for
  everyone and for its owner.

Changes gather; :meth:`Presence.flush` gives them as one frame for the whole room: the first at
once, those that follow within an interval together.
"""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from sync.core.errors import MalformedMessage
from sync.core.yprotocol import AwarenessEntry, awareness_frame

MAX_CLOCK = 2**31
"""The highest clock at which a client id may appear."""

MAX_LEAP = 2**20
"""How far above its last clock a state may come, so that no forger uses all clocks up."""

MAX_REMEMBERED = 1_024
"""How many client ids that left are remembered with their clocks."""

MAX_TOLD = 16
"""How many announcements are remembered until the owner has sent them back."""

NULL = "null"


@dataclass(slots=True)
class _Person:
    """The presence of one client id."""

    subject: str
    owner: int | None  # the connection; None in the grace after it ended
    clock: int  # as announced to the room
    heard: int  # as last heard from the owner
    state: str  # JSON, never "null"
    told: deque[tuple[int, str]]  # clocks and states as announced, which the owner sends back


class Presence:
    """The awareness states of one room. Times are seconds of any steady clock."""

    def __init__(
        self,
        *,
        grace: float = 3.0,
        interval: float = 0.0,
        max_state: int = 8_192,
        max_ids: int = 16,
    ) -> None:
        self._grace = grace
        self._interval = interval  # at least, between two flushes
        self._max_state = max_state  # bytes of JSON
        self._max_ids = max_ids  # client ids per connection
        self._people: dict[int, _Person] = {}
        self._left: OrderedDict[int, float] = OrderedDict()  # client ids in grace, since when
        self._gone: OrderedDict[int, int] = OrderedDict()  # client id -> last announced clock
        self._changed: dict[int, None] = {}  # client ids, in order of their change
        self._spoken: set[int] = set()  # connections that have sent an awareness message
        self._now = 0.0
        self._quiet_until = 0.0  # an interval after the last flush

    # -- what happens

    def receive(
        self, connection: int, subject: str, entries: Iterable[AwarenessEntry], now: float
    ) -> list[str]:
        """Take one message. Returns the reasons of entries that were refused, for the client.

        Raises MalformedMessage when a state is not JSON.
        """
        self._now = max(self._now, now)
        first = connection not in self._spoken
        self._spoken.add(connection)
        refusals = []
        for entry in entries:
            if refusal := self._refusal(connection, entry):
                refusals.append(refusal)
            else:
                self._receive(connection, subject, entry, first=first)
        return refusals

    def _receive(
        self, connection: int, subject: str, entry: AwarenessEntry, *, first: bool
    ) -> None:
        person = self._people.get(entry.client)
        if person is not None and person.owner == connection:
            self._update(entry, person)
        elif person is None or (person.subject == subject and (first or person.owner is None)):
            self._introduce(connection, subject, entry, person, first=first)

    def leave(self, connection: int, now: float) -> None:
        """The connection ended: its states stay for the grace period."""
        self._spoken.discard(connection)
        for client, person in self._people.items():
            if person.owner == connection:
                person.owner = None
                self._left[client] = now

    def tick(self, now: float) -> None:
        """Let time pass: what outlived its grace is removed."""
        self._now = max(self._now, now)
        while self._left:
            client, left_at = next(iter(self._left.items()))
            if now < left_at + self._grace:
                break
            person = self._people[client]
            self._remove(client, person, person.clock + 1)

    # -- what to tell

    def flush(self) -> bytes | None:
        """One frame with everything that changed since the last one, for everyone, when it is due.

        The latest state of each client: what came in between nobody needs to see.
        """
        if not self.due:
            return None
        self._quiet_until = self._now + self._interval
        entries = [self._entry(client) for client in self._changed]
        self._changed.clear()
        for entry in entries:
            if (person := self._people.get(entry.client)) is not None:
                person.told.append((entry.clock, entry.state))
        return awareness_frame(entries)

    def everyone(self, *, gone: bool = False) -> bytes | None:
        """One frame with all states, for one connection; None when there is nobody.

        ``gone`` adds who left, for a connection that was not told.
        """
        clients = [*self._people, *(self._gone if gone else ())]
        return awareness_frame(self._entry(client) for client in clients) if clients else None

    @property
    def due(self) -> bool:
        """There is something to flush, and the interval since the last flush has passed."""
        return bool(self._changed) and self._now >= self._quiet_until

    @property
    def deadline(self) -> float | None:
        """When :meth:`tick` next has something to do."""
        removal = next(iter(self._left.values())) + self._grace if self._left else None
        if not self._changed or self.due:
            return removal
        return self._quiet_until if removal is None else min(self._quiet_until, removal)

    def owner(self, client: int) -> int | None:
        """The live connection that a client id belongs to."""
        person = self._people.get(client)
        return person.owner if person else None

    def __len__(self) -> int:
        return len(self._people)

    # -- inside

    def _refusal(self, connection: int, entry: AwarenessEntry) -> str | None:
        if entry.clock > max(self._last_clock(entry.client), MAX_CLOCK) + MAX_LEAP:
            return f"the awareness clock {entry.clock} is far above any that was seen"
        size = len(entry.state.encode())
        if size > self._max_state:
            return f"an awareness state is at most {self._max_state} bytes; this one is {size}"
        _check_json(entry.state)
        if entry.client not in self._people and entry.state != NULL:
            owned = sum(p.owner == connection for p in self._people.values())
            if owned >= self._max_ids:
                return f"one connection has at most {self._max_ids} awareness client ids"
        return None

    def _update(self, entry: AwarenessEntry, person: _Person) -> None:
        """The owner speaks: its clock is taken, but never a lower one than was announced."""
        gone = entry.state == NULL
        if entry.clock < person.heard or (entry.clock == person.heard and not gone):
            return
        sent_back = (entry.clock, entry.state) in person.told
        if sent_back or (entry.clock <= person.clock and entry.state == person.state):
            person.heard = entry.clock  # the owner sends on what we announced, raised clock and all
            return
        clock = max(person.clock + 1, entry.clock)
        if gone:
            self._remove(entry.client, person, clock)
            return
        person.clock, person.heard, person.state = clock, entry.clock, entry.state
        self._changed[entry.client] = None

    def _introduce(
        self,
        connection: int,
        subject: str,
        entry: AwarenessEntry,
        known: _Person | None,
        *,
        first: bool,
    ) -> None:
        """A connection shows an id that was not its own before."""
        returning = known is not None or entry.client in self._gone
        last = self._last_clock(entry.client)
        if entry.state == NULL or (returning and not first and entry.clock <= last):
            return  # nothing to show, or a peer's late echo of someone who went
        self._gone.pop(entry.client, None)
        self._left.pop(entry.client, None)
        self._people[entry.client] = _Person(
            subject,
            connection,
            max(last, entry.clock) + 1,
            entry.clock,
            entry.state,
            deque(maxlen=MAX_TOLD),
        )
        self._changed[entry.client] = None
        if returning:
            self._announce_again(except_for=entry.client)

    def _announce_again(self, except_for: int) -> None:
        """A client that comes back has dropped everyone, and hears only higher clocks."""
        for client, person in self._people.items():
            if client != except_for and client not in self._changed:
                person.clock += 1
                self._changed[client] = None

    def _remove(self, client: int, person: _Person, clock: int) -> None:
        del self._people[client]
        self._left.pop(client, None)
        self._gone[client] = max(person.clock, clock)
        self._changed[client] = None
        while len(self._gone) > MAX_REMEMBERED:
            self._gone.popitem(last=False)

    def _last_clock(self, client: int) -> int:
        person = self._people.get(client)
        return person.clock if person else self._gone.get(client, 0)

    def _entry(self, client: int) -> AwarenessEntry:
        person = self._people.get(client)
        if person is None:
            return AwarenessEntry(client, self._gone.get(client, 0), NULL)
        return AwarenessEntry(client, person.clock, person.state)


def _check_json(state: str) -> None:
    try:
        json.loads(state, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise MalformedMessage("an awareness state is JSON; this one is not") from None


def _no_constant(name: str) -> object:
    raise ValueError(name)  # Python would take NaN and Infinity, which JavaScript does not
