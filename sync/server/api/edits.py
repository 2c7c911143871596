"""All edits of all documents, as they are saved."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import Field

from persistence.store import Entry, EntryInfo
from sync.core.names import MAX_BYTES
from sync.server.api.context import Administrator, Parts, in_time
from sync.server.api.document_access import LAST_POSITION
from sync.server.api.document_names import EXAMPLE
from sync.server.api.history import HISTORY, EntryResource, entry_json
from sync.server.api.problems import described
from sync.server.api.resources import Resource, answer

router = APIRouter(prefix="/api/v1", tags=["documents"])


class EditResource(EntryResource):
    """An edit on disk, and of which document."""

    document: str


class EditsPage(Resource):
    """Some edits, in the order of their positions."""

    edits: list[EditResource]
    next: int = Field(ge=0, description="Give it as `after`, now or later, for what comes next.")


EDITS: dict[str, Any] = {
    "edits": [{"document": EXAMPLE} | HISTORY["entries"][0]],
    "next": 4711,
}


@router.get(
    "/edits",
    operation_id="listEdits",
    summary="Watch all edits",
    response_model=EditsPage,
    responses={
        **answer("Those that are on disk.", EDITS),
        **described(401, 403, 422, 503),
    },
)
async def list_edits(
    _who: Administrator,
    parts: Parts,
    after: Annotated[
        int | None,
        Query(
            ge=0,
            le=LAST_POSITION,
            description="`next` of the answer before. Left out: none is told but where to begin.",
        ),
    ] = None,
    prefix: Annotated[
        str,
        Query(
            max_length=MAX_BYTES,
            description="Only of documents whose names begin so.",
            examples=["drafts/"],
        ),
    ] = "",
    limit: Annotated[int, Query(ge=1, le=1_000, description="Edits in a page.")] = 100,
) -> JSONResponse:
    """See who edits which document, as it is saved: ask again with `next` for what came since. For
    administrators.
    """
    store = parts.sessions.store
    last = await in_time(store.last_position())  # first: what comes meanwhile is not passed over
    if after is None:
        return JSONResponse({"edits": [], "next": last})
    entries = await in_time(store.tail(after, prefix, limit))
    following = entries[-1].position if entries else last
    return JSONResponse({"edits": [_edit_json(each) for each in entries], "next": following})


def _edit_json(entry: Entry) -> dict[str, Any]:
    edit = entry.edit
    known = EntryInfo(
        entry.position,
        edit.author,
        edit.received_at,
        len(edit.update),
        edit.connection,
        edit.offline,
    )
    return {"document": edit.document} | entry_json(known)
