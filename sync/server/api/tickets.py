"""Tickets: they keep long-lived tokens out of addresses."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from sync.core.events import iso
from sync.server.api.context import Parts
from sync.server.api.problems import described
from sync.server.api.resources import TICKET, TicketResource, answer

router = APIRouter(prefix="/api/v1", tags=["tickets"])


@router.post(
    "/tickets",
    operation_id="createTicket",
    summary="Swap a token for a ticket",
    status_code=201,
    response_model=TicketResource,
    responses={
        **answer("Good for one time.", TICKET, 201),
        **described(401, 429, 503),
    },
)
async def create_ticket(request: Request, parts: Parts) -> JSONResponse:
    """Get a ticket that stands for your token, once, within 30 s: as `?ticket=` wherever `?token=`
    is taken, for WebSockets and `EventSource`, which cannot send headers. What it opens lasts as
    long as the token. The token itself must come as `Authorization: Bearer`.
    """
    authorization = request.headers.get("authorization", "").encode("latin-1")
    identity = await parts.admission.identify(b"", authorization)
    ticket = parts.admission.tickets.issue(identity)
    told = {"ticket": ticket.text, "expires": iso(ticket.expires_at)}
    return JSONResponse(told, 201, headers={"Cache-Control": "no-store"})
