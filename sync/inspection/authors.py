"""Whose edits the entries of a log are: their writers' and not those who handed them on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from persistence.store import Edit


class Credit(NamedTuple):
    """Who wrote something, None: not known; and who brought it, where that is somebody else."""

    author: str | None
    introduced_by: str | None = None


class Authors:
    """The subjects behind a log's Yjs client ids.

    A client id belongs to the subject first seen to write with it (:mod:`sync.core.owners`).
    """

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._known: dict[int, str] = {}
        self._introduced: list[set[int]] = []  # by each edit
        self._away: list[dict[int, float]] = []
        seen: dict[int, float] = {}
        for edit in edits:
            self._introduced.append({each.client for each in edit.clients if each.introduced})
            for client, _, _, introduced in edit.clients:
                if not introduced:
                    self._known.setdefault(client, edit.author)
            clients = [each.client for each in edit.clients]
            self._away.append(
                {each: max(edit.received_at - seen[each], 0.0) for each in clients if each in seen}
            )
            seen.update(dict.fromkeys(clients, edit.received_at))
        self._edits = edits

    def of_client(self, index: int, client: int) -> Credit:
        """Who wrote what an entry, by its index, brought of a client id."""
        edit = self._edits[index]
        known = self._known.get(client)
        if known == edit.author or (known is None and client not in self._introduced[index]):
            return Credit(edit.author)
        return Credit(known, edit.author)

    def of_entry(self, index: int) -> Credit:
        """Whose an entry is as a whole: its author's, unless they only handed on one other's."""
        edit = self._edits[index]
        known = {self.of_client(index, each.client) for each in edit.clients}
        if len(known) == 1:
            (credit,) = known
            return credit
        return Credit(edit.author)

    def away(self, index: int, clients: Sequence[int] = ()) -> float | None:
        """Seconds since the previous edit of the client ids that an entry brought, or of some."""
        times = self._away[index]
        return min((times[each] for each in clients or times if each in times), default=None)
