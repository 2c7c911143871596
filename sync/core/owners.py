"""Whose a Yjs client id is: who may extend it while its owner is here, and who wrote with it."""

from __future__ import annotations

from collections.abc import Mapping

from sync.core.actions import ClientClocks
from sync.core.member import Edit, Member
from sync.core.presence import Presence


class Owners:
    """The client ids of one room.

    A live client id belongs to the connection that shows it in its presence; of a connection
    without presence, to the one whose own live edits first brought it. What was written belongs to
    the subject first seen to write with the id; others only hand it on (y-indexeddb replays
    everybody's edits, and after a crash everyone brings everyone's back).
    """

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._bound: dict[int, int] = {}  # client id -> connection
        self._authors: dict[int, str] = {}  # client id -> subject

    def owner(self, client: int) -> int | None:
        """The connection that a client id belongs to now."""
        shown = self._presence.owner(client)
        return shown if shown is not None else self._bound.get(client)

    def record(
        self, sender: Member, edit: Edit, news: Mapping[int, tuple[int, int]]
    ) -> tuple[ClientClocks, ...]:
        """Note who brought these clocks; tell for the log which of them were handed on."""
        live = edit.live and len(news) == 1
        return tuple(
            [
                ClientClocks(client, start, end, self.introduced(sender, client, live=live))
                for client, (start, end) in news.items()
            ]
        )

    def introduced(self, sender: Member, client: int, *, live: bool) -> bool:
        """Note that a member wrote with a client id; tell whether it did so for somebody else.

        ``live``: as it happened, and with no other.
        """
        subject = sender.subject
        introduced = self._authors.setdefault(client, subject) != subject
        if live and not introduced and not sender.has_presence:
            self._bound.setdefault(client, sender.id)
        return introduced

    def unbind(self, member: int) -> None:
        """The connection has gone, or shows its own ids from now on."""
        for client in [c for c, bound in self._bound.items() if bound == member]:
            del self._bound[client]
