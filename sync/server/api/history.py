"""What became of a document: its edits and versions, who set what, what differs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from persistence.store import Damage, EntryInfo
from sync.core.events import iso
from sync.core.names import MAX_BYTES
from sync.server.api.context import Asker, Parts, in_time
from sync.server.api.document_access import (
    LAST_POSITION,
    At,
    Moment,
    form_of,
    head_of,
    past_of,
    reading,
    something_of,
)
from sync.server.api.document_names import EXAMPLE, Document, checked_name
from sync.server.api.problems import described, described_anew
from sync.server.api.resources import Resource, Time, answer
from sync.server.history_text import blame_text, diff_text, versions_text
from sync.server.inspecting import inspected

router = APIRouter(prefix="/api/v1", tags=["documents"])

# -- as it is described

_DAMAGED = Field(description="What could not be read, and is left out, in words.")
_OFFLINE = Field(description="Made before its connection began, and brought when it did.")
_AWAY = Field(
    description="Seconds since the edit before it of the same Yjs client; null: there is none."
)


class EntryResource(Resource):
    """An edit on disk."""

    position: int = Field(ge=1)
    author: str = Field(description="Whose connection brought it.")
    time: Time = Field(description="When it was received.")
    size: int = Field(ge=0, description="Bytes of its update.")
    connection: int = Field(ge=0, description="Edits of one connection have one; 0: not known.")
    offline: bool = _OFFLINE


class HistoryPage(Resource):
    """Some edits of a document, in the order of their positions."""

    name: str
    thinned: int = Field(ge=0, description="Of the last edit that retention removed; 0: none.")
    entries: list[EntryResource]
    next: int | None = Field(
        description="Give it as `after` for more, though there be none in this page; null: no more."
    )
    damaged: list[str] = _DAMAGED


class ChangeResource(Resource):
    """What a place held before, and what it holds after: left out where nothing was there."""

    field: str = Field(description="The place as text.")
    root: str
    key: str | None = Field(description="Of a root that is a map; null: the whole root.")
    label: str = Field(description="The place in words of the form, where there is one.")
    before: Any = None
    after: Any = None


class VersionResource(Resource):
    """What one author did until they paused for two minutes."""

    first: int = Field(ge=1)
    last: int = Field(ge=1, description="Positions of its first and its last edit.")
    author: str
    began: Time
    ended: Time
    edits: int = Field(ge=1)
    connections: list[int]
    offline: bool = Field(description="Something of it was made before its connection began.")
    away_seconds: float | None = _AWAY
    changes: list[ChangeResource]


class VersionsPage(Resource):
    """Some versions of a document, in the order of their last positions."""

    name: str
    earliest: int | None = Field(description="The first position that it can be read at.")
    versions: list[VersionResource]
    next: int | None = Field(description="Give it as `after` for more; null: no more.")
    damaged: list[str] = _DAMAGED


class OverruledResource(Resource):
    """A value that was set at the same time as the one that stands."""

    author: str | None
    position: int = Field(ge=1)
    time: Time
    offline: bool = _OFFLINE
    value: Any = None


class SpanResource(Resource):
    """A stretch of a text, and who wrote it; null: not known."""

    author: str | None
    text: str


class BlameResource(Resource):
    """Who last changed what stands in a place, or took it away (then there is no ``value``)."""

    field: str = Field(description="The place as text.")
    root: str
    key: str | None = Field(description="Of a root that is a map; null: the whole root.")
    label: str = Field(description="The place in words of the form, where there is one.")
    value: Any = None
    before: Any = None
    author: str | None = Field(description="Null: older than the history that is kept.")
    position: int | None
    time: Time | None
    offline: bool = _OFFLINE
    away_seconds: float | None = _AWAY
    introduced_by: str | None = Field(description="Who brought it, if not its author.")
    overruled: list[OverruledResource]
    spans: list[SpanResource] = Field(description="Of a text: who wrote what of it.")


class BlamePage(Resource):
    """Who set what a document holds."""

    name: str
    position: int = Field(ge=1, description="As of when.")
    fields: list[BlameResource]
    damaged: list[str] = _DAMAGED


class PointResource(Resource):
    """A document as of a position; 0: before its first edit."""

    name: str
    position: int = Field(ge=0)


class DiffResource(Resource):
    """What makes the one the other."""

    origin: PointResource = Field(alias="from")
    to: PointResource
    changes: list[ChangeResource]
    damaged: list[str] = _DAMAGED


_TIME = "2026-11-22T10:29:58.000Z"
_CHANGE: dict[str, Any] = {
    "field": "ratings.bob/accuracy",
    "root": "ratings",
    "key": "bob/accuracy",
    "before": 3,
    "after": 4,
    "label": "Is it right? · bob",
}
HISTORY: dict[str, Any] = {
    "name": EXAMPLE,
    "thinned": 0,
    "entries": [
        {
            "position": 4711,
            "author": "bob",
            "time": _TIME,
            "size": 31,
            "connection": 17,
            "offline": False,
        }
    ],
    "next": None,
    "damaged": [],
}
VERSIONS: dict[str, Any] = {
    "name": EXAMPLE,
    "earliest": 4600,
    "versions": [
        {
            "first": 4690,
            "last": 4711,
            "author": "bob",
            "began": "2026-11-22T10:28:41.500Z",
            "ended": _TIME,
            "edits": 12,
            "connections": [17],
            "offline": False,
            "away_seconds": None,
            "changes": [_CHANGE],
        }
    ],
    "next": None,
    "damaged": [],
}
BLAME: dict[str, Any] = {
    "name": EXAMPLE,
    "position": 4711,
    "fields": [
        {
            "field": "ratings.bob/accuracy",
            "root": "ratings",
            "key": "bob/accuracy",
            "label": "Is it right? · bob",
            "value": 4,
            "before": 3,
            "author": "bob",
            "position": 4711,
            "time": _TIME,
            "offline": True,
            "away_seconds": 5400.0,
            "introduced_by": None,
            "overruled": [
                {"author": "bob", "position": 4702, "time": _TIME, "offline": False, "value": 2}
            ],
            "spans": [],
        }
    ],
    "damaged": [],
}
DIFF: dict[str, Any] = {
    "from": {"name": EXAMPLE, "position": 4689},
    "to": {"name": EXAMPLE, "position": 4711},
    "changes": [_CHANGE],
    "damaged": [],
}
REMOVED: dict[str, Any] = {
    "detail": f"{EXAMPLE!r} cannot be read as it was at position 12: its history up to position "
    "4600 was removed by retention; ask for position 4600 or later",
    "earliest": 4600,
}
GONE = described_anew(
    409, "That part of its history was removed (`earliest` can be read), or is too long.", REMOVED
)
"""How a request is refused that asks for what is not kept."""

_MISSING = described_anew(
    404,
    "There is no such document, or not yet; or it was deleted.",
    {"detail": f"there is no document {EXAMPLE!r}, or nothing of it is saved yet"},
)
_REFUSED = described(401, 403, 422, 503) | _MISSING


# -- its edits and versions


@router.get(
    "/documents/{name}/history",
    operation_id="getDocumentHistory",
    summary="See what became of a document",
    response_model=HistoryPage | VersionsPage,
    responses=answer("A page; with `view=versions`, of versions.", HISTORY) | _REFUSED | GONE,
)
async def history(
    document: Document,
    who: Asker,
    parts: Parts,
    view: Annotated[
        Literal["edits", "versions"],
        Query(
            description="`edits`: every one that is kept, without what it changed. `versions`: "
            "what one author did until they paused, and what they changed by that."
        ),
    ] = "edits",
    after: Annotated[
        int, Query(ge=0, le=LAST_POSITION, description="`next` of a page, or a position.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Edits or versions in a page.")] = 100,
) -> Response:
    """See who edited a document, and when. Of deleted documents, administrators do."""
    head = await head_of(parts, who, document, history=True)
    if view == "versions":
        form = await form_of(parts, document)
        async with reading(parts, head):
            past = await past_of(parts, head, None)
            return _told(await inspected(versions_text, [past], form, after, limit))
    page = await in_time(parts.sessions.store.history(document, after, limit))
    return JSONResponse(
        {
            "name": document,
            "thinned": page.thinned,
            "entries": [entry_json(each) for each in page.entries],
            "next": page.next,
            "damaged": [damage_text(each) for each in page.damaged],
        }
    )


def entry_json(entry: EntryInfo) -> dict[str, Any]:
    """An edit as the API has it."""
    return {
        "position": entry.position,
        "author": entry.author,
        "time": iso(entry.received_at),
        "size": entry.size,
        "connection": entry.connection,
        "offline": entry.offline,
    }


def damage_text(damage: Damage) -> str:
    """A damaged row in words, as :mod:`sync.inspection.state` has it."""
    return f"{damage.what} {damage.position}: {damage.reason}"


def _told(text: bytes) -> Response:
    return Response(text, media_type="application/json")


# -- who set what


@router.get(
    "/documents/{name}/blame",
    operation_id="getDocumentBlame",
    summary="See who set what a document holds",
    response_model=BlamePage,
    responses=answer("Every place, and who last changed it.", BLAME) | _REFUSED | GONE,
)
async def document_blame(document: Document, who: Asker, parts: Parts, at: At = None) -> Response:
    """See for each field who set its value, when, from what, and whether they were offline then;
    what it overruled that others had set meanwhile; and of texts who wrote which part.
    """
    head = await head_of(parts, who, document, history=True)
    form = await form_of(parts, document)
    async with reading(parts, head):
        past = await something_of(parts, head, at)
        return _told(await inspected(blame_text, [past], form))


# -- what differs


@router.get(
    "/documents/{name}/diff",
    operation_id="getDocumentDiff",
    summary="See what differs",
    response_model=DiffResource,
    responses=answer("What makes the one the other.", DIFF) | _REFUSED | GONE,
)
async def document_diff(
    document: Document,
    who: Asker,
    parts: Parts,
    origin: Annotated[
        Moment | None,
        Query(
            alias="from",
            description="A position or a time of this document. Left out: the beginning of what "
            "is kept; with `with`, now.",
            examples=["4689", "2026-11-22T10:00:00Z"],
        ),
    ] = None,
    to: Annotated[
        Moment | None,
        Query(
            description="A position or a time of this document, or of that which `with` names. "
            "Left out: now.",
            examples=["4711"],
        ),
    ] = None,
    other: Annotated[
        str | None,
        Query(
            alias="with",
            min_length=1,
            max_length=MAX_BYTES,
            description="The name of another document that this one is compared with.",
            examples=["drafts/refunds-7/refund-041"],
        ),
    ] = None,
) -> Response:
    """See what changed in a document between two points of its history, or what differs between
    two documents: each change with the place in words of the form.
    """
    head = await head_of(parts, who, document, history=True)
    other_head = head
    if other is not None:
        other_head = await head_of(parts, who, checked_name(other), history=True)
    elif origin is None:
        origin = head.thinned
    form = await form_of(parts, document)
    async with reading(parts, head, other_head):
        pasts = await past_of(parts, head, origin), await past_of(parts, other_head, to)
        return _told(await inspected(diff_text, pasts, form))
