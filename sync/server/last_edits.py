"""Who wrote what last, for those who look at a session."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from sync.server.resident import LastEdit

MOST_SESSIONS, MOST_SUBJECTS = 1_000, 2_000
"""Of which it is kept who wrote what last."""


class LastEdits:
    """Who wrote what last in a session's drafts, as far as this process knows. It is bounded."""

    def __init__(self) -> None:
        self._by_session: OrderedDict[str, dict[str, LastEdit]] = OrderedDict()

    def known(self, session: str) -> Mapping[str, LastEdit]:
        """By subject, for who only wants to know."""
        return self._by_session.get(session, {})

    def of(self, session: str) -> dict[str, LastEdit]:
        """By subject, to be written to. Who opens a draft calls this: those used last are kept."""
        found = self._by_session.setdefault(session, {})
        self._by_session.move_to_end(session)
        while len(self._by_session) > MOST_SESSIONS:
            self._by_session.popitem(last=False)
        for subject in list(found)[: max(0, len(found) - MOST_SUBJECTS)]:
            del found[subject]
        return found
