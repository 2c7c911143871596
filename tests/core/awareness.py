"""A stock client's presence: y-protocols' ``awareness.js`` and y-websocket's handler, in Python."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sync.core.yprotocol import AwarenessEntry

State = dict[str, object]


class StockAwareness:
    """What ``new Awareness(doc)`` does, and what ``WebsocketProvider`` sends for it.

    Sources: y-protocols 1.0.7 ``awareness.js`` (``setLocalState``, ``applyAwarenessUpdate``,
    ``removeAwarenessStates``), y-websocket 3.1.0 (``onopen``, ``_awarenessUpdateHandler``).
    Each method returns the entries of the message that the provider sends then.
    """

    def __init__(self, client: int) -> None:
        self.client = client
        self.states: dict[int, State] = {client: {}}
        self.clocks: dict[int, int] = {client: 0}

    def open(self) -> tuple[AwarenessEntry, ...]:
        """The socket opened: the local state is shown, where there is one."""
        return self._message([self.client]) if self.client in self.states else ()

    def show(self, state: State | None) -> tuple[AwarenessEntry, ...]:
        """``setLocalState``; with the state it has, this is the renewal every 15 seconds."""
        self.clocks[self.client] = self.clocks.get(self.client, -1) + 1
        if state is None:
            self.states.pop(self.client, None)
        else:
            self.states[self.client] = state
        return self._message([self.client])

    def renew(self) -> tuple[AwarenessEntry, ...]:
        return self.show(self.states[self.client])

    def close(self) -> None:
        """The socket was lost: everybody else is dropped, their clocks are remembered."""
        self.states = {c: state for c, state in self.states.items() if c == self.client}

    def hear(self, entries: Iterable[AwarenessEntry]) -> tuple[AwarenessEntry, ...]:
        """``applyAwarenessUpdate``; whatever was added, updated or removed is sent on."""
        return self._message([e.client for e in entries if self._apply(e)])

    def _apply(self, entry: AwarenessEntry) -> bool:
        state: State | None = json.loads(entry.state)
        client, clock = entry.client, entry.clock
        known = client in self.clocks
        current = self.clocks.get(client, 0)
        if not (current < clock or (current == clock and state is None and client in self.states)):
            return False
        if state is not None:
            self.states[client] = state
        elif client == self.client and client in self.states:
            clock += 1  # 'never let a remote client remove this local state'
        else:
            self.states.pop(client, None)
        self.clocks[client] = clock
        return known or state is not None

    def _message(self, clients: list[int]) -> tuple[AwarenessEntry, ...]:
        return tuple(
            AwarenessEntry(
                client,
                self.clocks[client],
                json.dumps(self.states.get(client), separators=(",", ":")),
            )
            for client in clients
        )
