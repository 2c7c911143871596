"""Sessions: create, list, read, and the steps of their life."""

from __future__ import annotations

import json
import uuid
from http import HTTPStatus
from typing import Annotated, Any, Literal

import anyio.lowlevel
from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import JSONResponse

from auth.access import Identity, SessionAccess
from persistence.store import Store, StoredSession, StoreError
from sync.core.events import repeatable_id
from sync.core.session import Outline, Role, SessionId, State, Step, created, session_id
from sync.server.api.context import Asker, Context, Key, Parts, body_of, in_time, takes
from sync.server.api.problems import Refusal, described
from sync.server.api.requests import NEW_SESSION, Completing, Joining, NewSession, role_of
from sync.server.api.resources import SESSION, SESSIONS, SessionResource, SessionsPage
from sync.server.event_feed import EventFeed
from sync.server.session_view import session_json
from sync.server.sessions import LiveSession, actor_in, revived
from sync.server.telemetry import logger

log = logger(__name__)

router = APIRouter(prefix="/api/v1", tags=["sessions"])

MOST_SCANNED = 1_000
"""Sessions that one request for a list looks at: a token may observe few of them."""

PAGE = 100

LAST_OFFSET = 2**53 - 1  # that JavaScript can tell from the next

SessionPath = Annotated[str, Path(description="The session's id.", examples=["refunds-7"])]
CasePath = Annotated[str, Path(description="A test case's id.", examples=["refund-042"])]


def _answer(example: Any, description: str, **more: Any) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"example": example}},
    } | more


SESSION_ANSWER = _answer(SESSION, "The session as it is on disk now.")

_NEXT = ("get", "join", "leave", "start", "pause", "resume", "stop")
_LINKS: dict[str, Any] = {
    each: {"operationId": f"{each}Session", "parameters": {"session": "$response.body#/id"}}
    for each in _NEXT
}

# -- create


@router.post(
    "/sessions",
    operation_id="createSession",
    summary="Create a session",
    status_code=201,
    response_model=SessionResource,
    responses={
        201: _answer(
            SESSION,
            "The session as it was created; the same again for the same `Idempotency-Key`.",
            headers={"Location": {"required": True, "schema": {"type": "string"}}},
            links=_LINKS,
        ),
        **described(400, 401, 403, 408, 409, 413, 415, 422, 503),
    },
    openapi_extra=takes(NewSession, NEW_SESSION),
)
async def create_session(
    asked: Annotated[NewSession, Depends(body_of(NewSession))],
    who: Asker,
    parts: Parts,
    key: Key = None,
) -> JSONResponse:
    """Create a session, and lead it. Your token must say `lead` for its id.

    Everybody works on the drafts `drafts/{session}/{test case}`, which their tokens must grant.
    """
    session, outline = _named(parts, asked, who, key), asked.outline()
    live, new = await in_time(parts.sessions.create(session, who, outline, key=key))
    if not new:
        await _check_repeat(live, who, outline)
    told = session_json(_as_created(parts.sessions.store, live, who, outline))
    return JSONResponse(told, 201, headers={"Location": f"/api/v1/sessions/{session}"})


def _named(parts: Context, asked: NewSession, who: Identity, key: str | None) -> SessionId:
    """The id that is asked for, or one that the same request gets again."""
    if asked.id is not None:
        return session_id(asked.id)
    if key is None:
        return SessionId(str(uuid.uuid4()))
    return SessionId(repeatable_id(parts.sessions.store.epoch, who.subject, "create session", key))


async def _check_repeat(live: LiveSession, who: Identity, outline: Outline) -> None:
    """Refuse another request under a key that was used."""
    asked = created(live.id, live.current.epoch, actor_in(live.id, who), 0.0, outline)[1].data
    first = await live.feed.after(0, 1)
    made = json.loads(first[0].event.data) if first and first[0].offset == 1 else asked
    if made != asked or live.current.form != outline.form:
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"this Idempotency-Key was used to create the session {live.id!r} from another body: "
            "take a new key",
        )


def _as_created(store: Store, live: LiveSession, who: Identity, outline: Outline) -> LiveSession:
    """What the session was at its first event, whatever has happened since."""
    now = live.current
    made, _ = created(live.id, now.epoch, actor_in(live.id, who), now.created_at, outline)
    return LiveSession(live.number, made, made, EventFeed(store, live.id, 1))


# -- read


@router.get(
    "/sessions",
    operation_id="listSessions",
    summary="List sessions",
    response_model=SessionsPage,
    responses={
        200: _answer(SESSIONS, "Those that your token may observe, without their forms."),
        **described(401, 422, 503),
    },
)
async def list_sessions(
    who: Asker,
    parts: Parts,
    state: Annotated[State | None, Query(description="Only those in this state.")] = None,
    after: Annotated[int, Query(ge=0, le=LAST_OFFSET, description="`next` of a page.")] = 0,
    limit: Annotated[int, Query(ge=1, le=200, description="Sessions in a page.")] = 50,
) -> JSONResponse:
    """List the sessions that your token may observe, in the order of their creation."""
    told, left = [], MOST_SCANNED
    while left > 0 and (rows := await parts.sessions.store.sessions(state, after, PAGE)):
        left -= len(rows)
        for row in rows:
            if who.session_access(row.session) is not SessionAccess.NONE:
                told += await _summary(parts.sessions.store, row)
            after = row.number
            if len(told) == limit:
                return JSONResponse({"sessions": told, "next": after})
    return JSONResponse({"sessions": told, "next": after if left <= 0 else None})


async def _summary(store: Store, row: StoredSession) -> list[dict[str, Any]]:
    """A session of a list; nothing for one that cannot be read, which is told when it is asked."""
    await anyio.lowlevel.checkpoint()  # a page of large ones is some work
    try:
        session = revived(row)
    except StoreError as error:
        log.warning("a session is left out of a list", error=str(error))
        return []
    feed = EventFeed(store, row.session, row.top)
    acknowledged = dict(row.acknowledged)
    told = session_json(
        LiveSession(row.number, session, session, feed, row.truncated, row.updated_at, acknowledged)
    )
    del told["form"]
    return [told]


@router.get(
    "/sessions/{session}",
    operation_id="getSession",
    summary="Read a session",
    response_model=SessionResource,
    responses={200: SESSION_ANSWER, **described(401, 403, 404, 503)},
)
async def get_session(session: SessionPath, who: Asker, parts: Parts) -> JSONResponse:
    """Read a session. `open_steps` are what can be done with it now."""
    return JSONResponse(session_json(await observed(parts, session, who)))


async def observed(parts: Context, session: str, who: Identity) -> LiveSession:
    """A session for who may observe it. Raises Forbidden, UnknownSession, StoreError."""
    actor_in(session, who)
    return await in_time(parts.sessions.get(session))


# -- steps

_STEPS: dict[Step, tuple[str, str]] = {
    Step.LEAVE: ("Leave a session", "Be no member any more. Your drafts stay as they are."),
    Step.START: ("Start a session", "Evaluators may begin. For leads, from `created`."),
    Step.PAUSE: ("Pause a session", "For leads, from `running`."),
    Step.RESUME: ("Resume a session", "For leads, from `paused`."),
    Step.STOP: (
        "Stop a session",
        "For leads, from `running` and `paused`. It is final: its drafts become read-only.",
    ),
}


@router.post(
    "/sessions/{session}/join",
    operation_id="joinSession",
    summary="Join a session",
    response_model=SessionResource,
    responses={
        200: SESSION_ANSWER,
        **described(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    },
    openapi_extra=takes(Joining, {"role": "evaluator"}),
)
async def join_session(
    session: SessionPath,
    asked: Annotated[Joining, Depends(body_of(Joining))],
    who: Asker,
    parts: Parts,
    key: Key = None,
) -> JSONResponse:
    """Become a member: `observe` in the token lets you be an observer, `join` an evaluator, `lead`
    a lead. To join again as what you are changes nothing; as something else, it changes your role.
    """
    role = role_of(asked.role) if asked.role is not None else None
    return await _step(parts, session, Step.JOIN, who, key, role)


async def _step(
    parts: Context,
    session: str,
    step: Step,
    who: Identity,
    key: str | None,
    role: Role | None = None,
) -> JSONResponse:
    taken = parts.sessions.step(session, step, who, role=role, key=key)
    return JSONResponse(session_json(await in_time(taken)))


def _add_step(step: Step, summary: str, description: str) -> None:
    @router.post(
        f"/sessions/{{session}}/{step}",
        operation_id=f"{step}Session",
        name=f"{step}_session",
        summary=summary,
        description=description,
        response_model=SessionResource,
        responses={200: SESSION_ANSWER, **described(401, 403, 404, 409, 422, 503)},
    )
    async def take_step(
        session: SessionPath, who: Asker, parts: Parts, key: Key = None
    ) -> JSONResponse:
        return await _step(parts, session, step, who, key)


for _each, _words in _STEPS.items():
    _add_step(_each, *_words)

# -- drafts


def _add_declaration(verb: Literal["complete", "reopen"], summary: str, description: str) -> None:
    @router.post(
        f"/sessions/{{session}}/drafts/{{case}}/{verb}",
        operation_id=f"{verb}Draft",
        name=f"{verb}_draft",
        summary=summary,
        description=description,
        response_model=SessionResource,
        responses={
            200: SESSION_ANSWER,
            **described(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
        },
        openapi_extra=takes(Completing, {"subject": "bob"}),
    )
    async def declare(
        session: SessionPath,
        case: CasePath,
        asked: Annotated[Completing, Depends(body_of(Completing))],
        who: Asker,
        parts: Parts,
        key: Key = None,
    ) -> JSONResponse:
        await _check_case(parts, session, case, who)
        subject, done = asked.subject or who.subject, verb == "complete"
        declared = parts.sessions.complete(session, case, subject, who, done=done, key=key)
        return JSONResponse(session_json(await in_time(declared)))


async def _check_case(parts: Context, session: str, case: str, who: Identity) -> None:
    live = await observed(parts, session, who)
    if live.current.case(case) is None:
        raise Refusal(
            HTTPStatus.NOT_FOUND, "this session has no such test case: see its test_cases"
        )


_add_declaration(
    "complete",
    "Declare a draft complete",
    "Evaluators do so for their own work, leads for anybody's, while the session runs or pauses.",
)
_add_declaration(
    "reopen", "Open a draft again", "Take back that it is complete, by the same rules."
)
