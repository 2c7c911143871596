"""How many sessions there are in each state, and how many people in those that are not stopped."""

from __future__ import annotations

from collections import Counter

from persistence.store import Reader, StoreError
from sync.core.session import Session, State
from sync.server.event_feed import Told
from sync.server.hub import Hub
from sync.server.sessions import LiveSession, revived
from sync.server.telemetry import logger

log = logger(__name__)

PAGE = 200


class Census:
    """Counts what is stored once, and then what changes.

    :meth:`note` is to hear of every event (:attr:`sync.server.sessions.Sessions.listeners`).
    Sessions that are stopped the hub knows: nobody may write to their drafts.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._open: dict[str, tuple[State, int]] = {}  # those not stopped: state and members

    async def survey(self, store: Reader) -> None:
        """Count what is stored. What was noted meanwhile is newer."""
        try:
            for state in State:
                if state is not State.STOPPED:
                    await self._survey(store, state)
        except StoreError as error:
            log.warning("not all sessions are counted", error=str(error))

    async def _survey(self, store: Reader, state: State) -> None:
        after = 0
        while page := await store.sessions(str(state), after, PAGE):
            after = page[-1].number
            for row in page:
                try:
                    self._open.setdefault(row.session, _seen(revived(row)))
                except StoreError as error:
                    log.warning("a session is not counted", session=row.session, error=str(error))

    def note(self, live: LiveSession, told: Told) -> None:
        """Something happened in a session."""
        if not told.event.kind.startswith("session."):
            return
        if live.current.state is State.STOPPED:
            self._open.pop(live.id, None)
        else:
            self._open[live.id] = _seen(live.current)

    def states(self) -> dict[str, int]:
        """Sessions by state; every state is there."""
        counted = Counter(state for state, _ in self._open.values())
        stopped = sum(session not in self._open for session in self._hub.sealing.sessions)
        return {str(each): stopped if each is State.STOPPED else counted[each] for each in State}

    def members(self) -> int:
        """People in sessions that are not stopped, once for each session."""
        return sum([members for _, members in self._open.values()])


def _seen(session: Session) -> tuple[State, int]:
    return session.state, sum(each.joined_at is not None for each in session.members)
