"""Whether the service lives, and whether it takes work."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import Field

from sync.server.api.context import Parts
from sync.server.api.resources import Resource

router = APIRouter(tags=["health"])


class Alive(Resource):
    """The process is alive."""

    status: Literal["ok"]
    holder: str = Field(description="A random name: it stands in the lock beside its database.")


class Ready(Resource):
    """Whether connections are taken, and edits and events saved."""

    status: Literal["ready", "draining", "not saving"]
    reason: str | None = None


@router.get("/healthz", operation_id="getHealth", summary="Is the process alive?")
async def healthz(parts: Parts) -> Alive:
    """The process is alive."""
    return Alive(status="ok", holder=parts.sessions.store.holder)


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Does the service take work?",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "Not now; `reason` tells why."}},
)
async def readyz(parts: Parts) -> JSONResponse:
    """The service takes connections and saves edits and events; 503 and the reason when not."""
    now = parts.hub.statistics()
    if now.draining:
        return JSONResponse({"status": "draining"}, 503)
    if (failing := now.failing or parts.sessions.journal.failing) is not None:
        return JSONResponse({"status": "not saving", "reason": failing}, 503)
    return JSONResponse({"status": "ready"})
