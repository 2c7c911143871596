"""Dead letters of webhooks, sent again by the running service."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import Field

from sync.server.api.context import Administrator, Parts, body_of, takes
from sync.server.api.problems import described
from sync.server.api.requests import Offset, Request
from sync.server.api.resources import Resource, Time, answer
from sync.server.webhook_replay import MOST_LETTERS, Selection, replayed_json

router = APIRouter(prefix="/api/v1", tags=["webhooks"])

# -- as it is described


class Replaying(Request):
    """Which dead letters; what is left out is any."""

    consumer: str | None = Field(None, description="Of the webhook of this name.")
    session: str | None = None
    offset: Offset | None = None


class DeadLetterResource(Resource):
    """An event that a webhook was not given."""

    consumer: str = Field(description="The webhook's name.")
    session: str
    offset: int = Field(ge=1)
    reason: str = Field(description="Why it was not taken.")
    time: Time = Field(description="When it became a dead letter.")


class ReplayResource(Resource):
    """What came of it."""

    delivered: int = Field(ge=0, description="They were taken, and are dead letters no more.")
    failed: list[DeadLetterResource] = Field(description="They stay; each with the new reason.")
    left: int = Field(
        ge=0,
        description=f"They were not tried: one before them failed, or there are more than "
        f"{MOST_LETTERS}. Ask again for these.",
    )


REPLAYING = {"consumer": "https://hooks.example.org/draftsync", "session": "refunds-7"}
REPLAYED: dict[str, Any] = {
    "delivered": 3,
    "failed": [
        REPLAYING | {"offset": 17, "reason": "it answered 503", "time": "2026-11-22T10:00:00.000Z"}
    ],
    "left": 0,
}


# -- as it is done


@router.post(
    "/webhooks/replay",
    operation_id="replayWebhooks",
    summary="Send dead letters again",
    response_model=ReplayResource,
    responses={
        **answer("What came of it.", REPLAYED),
        **described(400, 401, 403, 408, 413, 415, 422, 503),
    },
    openapi_extra=takes(Replaying, REPLAYING),
)
async def replay_webhooks(
    _who: Administrator, parts: Parts, given: Annotated[Replaying, Depends(body_of(Replaying))]
) -> JSONResponse:
    """Send events once more that a webhook did not take in any of its attempts, in the order of
    their offsets. Where one fails, the others of its session are not tried. Administrators only.
    """
    replay = parts.webhooks.replay
    return JSONResponse(
        replayed_json(await replay(Selection(given.consumer, given.session, given.offset)))
    )
