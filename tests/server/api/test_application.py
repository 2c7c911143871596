from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest
from jsonschema_rs import Draft202012Validator

from sync.server.api import requests, resources
from tests.server.api.client import OUTLINE, Office, open_office, problem_of

ORIGIN = {"Origin": "https://app.example.org"}

# --------------------------------------------------------------------------------- other origins


async def test_any_page_may_use_it(office: Office) -> None:
    answer = await office.api().post("sessions", OUTLINE, headers=ORIGIN)
    assert answer.headers["access-control-allow-origin"] == "*"
    told = answer.headers["access-control-expose-headers"].split(", ")
    assert {"Location", "ETag", "Draftsync-Position", "Draftsync-Note"} <= {*told}
    assert "access-control-allow-credentials" not in answer.headers
    refused = await office.nobody.get("sessions", headers=ORIGIN)
    assert refused.headers["access-control-allow-origin"] == "*"  # or the page sees no reason


async def preflight(office: Office, origin: str) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }
    return await office.nobody.request("OPTIONS", "sessions", headers=headers)


async def test_a_preflight(office: Office) -> None:
    answer = await preflight(office, "https://app.example.org")
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    allowed = answer.headers["access-control-allow-headers"].lower()
    for header in ("authorization", "content-type", "idempotency-key", "last-event-id"):
        assert header in allowed
    assert "POST" in answer.headers["access-control-allow-methods"]


async def test_only_the_pages_that_were_named() -> None:
    origins = ("https://app.example.org", "https://b.example.org")
    async with open_office(allow_origin=origins) as office:
        for origin in origins:
            answer = await preflight(office, origin)
            assert answer.headers["access-control-allow-origin"] == origin
            got = await office.api().get("sessions", headers={"Origin": origin})
            assert got.headers["access-control-allow-origin"] == origin
            assert "Origin" in got.headers["vary"]
        refused = await preflight(office, "https://evil.org")
        assert "access-control-allow-origin" not in refused.headers
        problem_of(refused, 403)
        assert (await office.api().get("sessions")).status_code == 200  # no page at all


# ---------------------------------------------------------------------------------- the description


@pytest.fixture
async def described(office: Office) -> dict[str, Any]:
    answer = await office.nobody.get("/openapi.json")
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def operations(described: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, told)
        for path, methods in described["paths"].items()
        for method, told in methods.items()
    ]


async def test_every_operation_is_described(described: dict[str, Any]) -> None:
    ids = []
    for path, method, told in operations(described):
        assert told["summary"], path
        assert told["description"], path
        assert len(told["tags"]) == 1
        ids.append(told["operationId"])
        for status, answer in told["responses"].items():
            assert answer["description"]
            if int(status) >= 400 and "application/problem+json" in answer["content"]:
                example = answer["content"]["application/problem+json"]["example"]
                assert example["status"] == int(status)
        if method == "post":
            assert {"201", "200", "202", "204"} & set(told["responses"])
        if path.startswith("/api/"):
            assert {"401", "503"} <= set(told["responses"])
            assert told["security"] == [{"bearer": []}]
    assert len(ids) == len(set(ids))
    tags = {each["name"] for each in described["tags"]}
    assert {told["tags"][0] for _, _, told in operations(described)} <= tags


OPERATIONS = {
    *("createSession", "listSessions", "getSession", "joinSession", "leaveSession"),
    *("startSession", "pauseSession", "resumeSession", "stopSession"),
    *("completeDraft", "reopenDraft", "listEvents", "publishEvent", "createTicket"),
    *("getHealth", "getReadiness"),
    *("listDocuments", "getDocument", "getDocumentAt", "getDocumentHistory", "getDocumentBlame"),
    *("getDocumentDiff", "getDocumentUpdate", "updateDocument", "restoreDocument"),
    *("deleteDocument", "listEdits", "createRevocation"),
}


async def test_operations_keep_their_names(described: dict[str, Any]) -> None:
    """Clients are generated from them."""
    assert {told["operationId"] for _, _, told in operations(described)} >= OPERATIONS


def contents(described: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path, method, told in operations(described):
        answers = list(told["responses"].values())
        for each in [*answers, told.get("requestBody", {})]:
            for media_type, content in each.get("content", {}).items():
                found.append((f"{method} {path} {media_type}", content))
    return found


async def test_every_example_is_what_it_is_an_example_of(described: dict[str, Any]) -> None:
    examined = 0
    for where, content in contents(described):
        if "json" in where and "example" in content:
            schema = content["schema"] | {"components": described["components"]}
            errors = list(Draft202012Validator(schema).iter_errors(content["example"]))
            assert not errors, (where, errors)
            examined += 1
    assert examined > 50


async def test_every_body_and_answer_has_an_example(described: dict[str, Any]) -> None:
    lacking = [
        where
        for where, content in contents(described)
        if "example" not in content and "/api/" in where and "octet-stream" not in where
    ]
    assert not lacking


async def test_nothing_is_named_that_is_not_there(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]

    def check(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(name := value.get("$ref"), str):
                assert name.removeprefix("#/components/schemas/") in schemas
            for each in value.values():
                check(each)
        elif isinstance(value, list):
            for each in value:
                check(each)

    check(described)


def test_the_examples_are_what_the_models_say() -> None:
    requests.NewSession.model_validate_json(json.dumps(requests.NEW_SESSION))
    requests.Publication.model_validate_json(json.dumps(requests.PUBLICATION))
    resources.SessionResource.model_validate(resources.SESSION)
    resources.SessionsPage.model_validate(resources.SESSIONS)
    resources.EventsPage.model_validate(resources.EVENTS)
    resources.TicketResource.model_validate(resources.TICKET)


# -------------------------------------------------------------------------------------- the page


async def test_the_page_needs_nothing_from_elsewhere(office: Office) -> None:
    answer = await office.nobody.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy, "a token is typed there"
    for elsewhere in ("https://", "http://", "src=", "@import"):
        assert elsewhere not in answer.text
    assert "openapi.json" in answer.text


# ---------------------------------------------------------------------------------------- imports


def test_no_package_is_loaded_that_is_not_needed() -> None:
    code = (
        "import sys, sync.server.api.application as a\n"
        "print([n for n in ('numpy', 'pandas', 'jinja2', 'jsonschema') if n in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert printed.stdout.strip() == b"[]"
