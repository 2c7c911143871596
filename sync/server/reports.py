"""Reports of sessions, read from the store: beside a live service, within it, or without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from persistence.store import Head, Reader, StoreError, StoreUnavailable, lost_entries
from sync.core.errors import UnknownSession
from sync.core.report import Chronicle, Filled
from sync.core.session import Session, draft_name, draft_prefix
from sync.forms.definition import FormDefinition, InvalidForm, form_definition
from sync.forms.progress import Answered, Answers, tally
from sync.server.draft_answers import DraftAnswers
from sync.server.sessions import revived

PAGE = 1_000


async def read_chronicle(reader: Reader, session: str, drafts: DraftAnswers) -> Chronicle:
    """Read everything that a report is made of. Raises UnknownSession, StoreUnavailable.

    StoreError where the session's own row is damaged; whatever else is, the chronicle knows.
    """
    stored = await reader.session(session)
    if stored is None:
        raise UnknownSession(f"there is no session {session!r}")
    chronicle = Chronicle(revived(stored))
    await _read_events(reader, chronicle, stored.truncated, stored.top)
    listed = await reader.heads(draft_prefix(session))
    heads = [head for head in listed if head.deleted is None]
    for head in heads:
        await _read_edits(reader, chronicle, head.document)
    await read_filled(chronicle, heads, drafts)
    return chronicle


async def _read_events(reader: Reader, chronicle: Chronicle, truncated: int, top: int) -> None:
    """Count the events up to ``top``; later ones are not looked at."""
    chronicle.truncated(truncated)
    session, after = chronicle.session.id, truncated
    while after < top:
        try:
            page = await reader.events(session, after, PAGE)
        except StoreUnavailable:
            raise
        except StoreError as error:
            chronicle.lacks(f"events behind offset {after} are not counted: {error}")
            return
        if not page:
            return
        if after == truncated:
            chronicle.truncated(page[0].offset - 1)  # meanwhile, perhaps
        for offset, event in page:
            if offset <= top:
                chronicle.event(event.kind, event.data)
        after = page[-1].offset


async def _read_edits(reader: Reader, chronicle: Chronicle, draft: str) -> None:
    lost: set[int] = set()  # a page may tell again what the one before it told
    after: int | None = 0
    while after is not None:
        page = await reader.history(draft, after, PAGE)
        for entry in page.entries:
            chronicle.edit(draft, entry.author, entry.received_at, entry.size)
        lost |= set(lost_entries(page.damaged))
        if page.thinned:
            chronicle.thinned(draft)
        after = page.next
    if lost:
        chronicle.damaged(draft, len(lost))


# -- how far forms are filled in


async def read_filled(chronicle: Chronicle, heads: Sequence[Head], drafts: DraftAnswers) -> None:
    """Find out how far everybody is: by the shared draft of a test case and by their own one."""
    definition = _definition(chronicle)
    if definition is None:
        return
    found: dict[str, Answers | None] = {}  # None: it cannot be read
    for head in heads:
        reading = await drafts.read(definition, head, None)
        if reading.note is not None:
            chronicle.unread(head.document)
        found[head.document] = reading.answers
    for person, case in chronicle.pairs:
        answered = _answered(found, chronicle.session, case, person.subject)
        if answered is not None:
            done = tally(definition, answered)
            filled = Filled(done.answered, done.required, done.share)
            chronicle.filled(person.subject, case, filled)


def _definition(chronicle: Chronicle) -> FormDefinition | None:
    form = chronicle.session.form
    if form is None:
        return None
    try:
        return form_definition(form)
    except InvalidForm as error:
        chronicle.lacks(f"the session's form cannot be read: {error}")
        return None


def _answered(
    found: Mapping[str, Answers | None], session: Session, case: str, subject: str
) -> Answered | None:
    answered = 0
    for draft in (draft_name(session.id, case), draft_name(session.id, case, subject)):
        if draft in found:
            if (told := found[draft]) is None:
                return None
            answered |= told.of(subject)
    return Answered(answered)
