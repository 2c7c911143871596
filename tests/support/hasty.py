"""The service with a bug, for tests that must find it: it says saved before anything is.

Run as a program it is ``sync.cli.main`` whose journals announce edits and events as committed
before they append them.
"""

from __future__ import annotations

import anyio

from persistence.store import Edit, Position, Record
from sync.cli.main import main
from sync.server import event_journal, hub, journal, sessions

HASTY = ("tests.support.hasty", "serve")
"""The program, for :class:`tests.support.service.ServiceProcess`."""


class HastyJournal(journal.Journal):
    """The bug: what is announced is only on its way to the disk."""

    async def _commit(self, batch: list[journal._Submission]) -> None:
        position = 0
        for submission in batch:
            position += len(submission.edits)
            submission.committed(Position(position))
        await anyio.sleep(0.01)  # a disk that takes a moment; a kill falls into it
        edits: list[Edit] = [edit for submission in batch for edit in submission.edits]
        await self._append(edits)
        self._unsaved -= len(batch)
        self._bytes -= sum(len(edit.update) for edit in edits)
        self._progress.set()
        self._progress = anyio.Event()


class HastyEventJournal(event_journal.EventJournal):
    """The same bug for events."""

    async def _commit(self, batch: list[event_journal._Submission]) -> None:
        records = [submission.record for submission in batch]
        for submission, offset in zip(batch, await self._guess(records), strict=True):
            submission.committed(offset)
            submission.offset.set_result(offset)
        await anyio.sleep(0.02)  # a disk that takes a moment; a kill falls into it
        await self._record(records)
        self._done(batch)

    async def _guess(self, records: list[Record]) -> list[int]:
        tops: dict[str, int] = {}
        for session in {record.session for record in records}:
            stored = await self._store.session(session)
            tops[session] = stored.top if stored else 0
        offsets = []
        for record in records:
            known = await self._store.event(record.session, record.event.id)
            tops[record.session] += known is None
            offsets.append(known.offset if known else tops[record.session])
        return offsets


if __name__ == "__main__":
    vars(hub)["Journal"] = HastyJournal
    vars(sessions)["EventJournal"] = HastyEventJournal
    main()
