"""Revocations: tokens that are not taken any more, though they have not expired."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, model_validator

from auth.revocation import Kind
from sync.server.api.context import Administrator, Parts, body_of, in_time, takes
from sync.server.api.problems import described
from sync.server.api.requests import Request, Subject
from sync.server.api.resources import Resource, Time, answer
from sync.server.revoking import revocation_json

router = APIRouter(prefix="/api/v1", tags=["revocations"])

# -- as it is described


def _one_of_two(schema: dict[str, Any]) -> None:
    schema["oneOf"] = [{"required": ["sub"]}, {"required": ["jti"]}]
    for each in schema["properties"].values():
        del each["default"]


class Revoking(Request):
    """What is revoked: one of the two."""

    model_config = ConfigDict(json_schema_extra=_one_of_two)
    needed: ClassVar[bool] = True

    sub: Subject = Field("", description="All tokens of this subject that there are so far.")
    jti: Subject = Field("", description="The one token of this id.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("name one of the two: sub (all tokens of somebody) or jti (one token)")
        return self

    @property
    def kind(self) -> Kind:
        return "sub" if self.sub else "jti"


class RevocationResource(Resource):
    """Tokens that are revoked."""

    sub: str | None = Field(description="Those of this subject, issued at `at` or before.")
    jti: str | None = Field(description="The one of this id.")
    at: Time
    until: Time = Field(description="They all have expired then, and the revocation is dropped.")
    by: str = Field(description="The subject who revoked them.")


class RevocationsResource(Resource):
    """All that was revoked, and is not dropped yet."""

    revocations: list[RevocationResource]


REVOKING = {"sub": "mallory"}
REVOCATION = {
    "sub": "mallory",
    "jti": None,
    "at": "2026-11-22T10:00:00.000Z",
    "until": "2026-12-22T10:00:20.000Z",
    "by": "alice",
}


# -- as it is done


@router.post(
    "/revocations",
    operation_id="createRevocation",
    summary="Revoke tokens",
    status_code=201,
    response_model=RevocationResource,
    responses={
        **answer("It is on disk and in effect: connections are closed.", REVOCATION, 201),
        **described(400, 401, 403, 408, 413, 415, 422, 503),
    },
    openapi_extra=takes(Revoking, REVOKING),
)
async def create_revocation(
    who: Administrator, parts: Parts, given: Annotated[Revoking, Depends(body_of(Revoking))]
) -> JSONResponse:
    """Revoke one token, or all that somebody has. Connections that were opened with them are
    closed with 4401, event streams end, tickets made from them are worth nothing. What they have
    sent and the service has taken stays. Tokens of the subject that are issued (`iat`) later are
    good: whoever is to stay away must get none. Sent again it revokes again, what was issued
    meanwhile too. Administrators only.
    """
    value = given.sub or given.jti
    revocation = await in_time(parts.hub.revoking.revoke(given.kind, value, who.subject))
    return JSONResponse(revocation_json(revocation), 201)


@router.get(
    "/revocations",
    operation_id="listRevocations",
    summary="List what is revoked",
    response_model=RevocationsResource,
    responses={
        **answer("What is revoked.", {"revocations": [REVOCATION]}),
        **described(401, 403, 503),
    },
)
async def list_revocations(_who: Administrator, parts: Parts) -> JSONResponse:
    """List the revocations of tokens that may not have expired yet. Administrators only."""
    stored = await in_time(parts.sessions.store.revocations())
    return JSONResponse({"revocations": [revocation_json(each) for each in stored]})
