"""Documents to edit, and clients that are quick to come back."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
from pycrdt import Doc, Map

from sync.client import Backoff, DocumentClient, Status
from sync.client.reconnecting import Token
from sync.core.yprotocol import decode_state_vector
from tests.support.service import ServiceProcess

QUICK = Backoff(first=0.02, most=0.2)
PATIENCE = 20.0


def answers(doc: Doc[Any]) -> Map[Any]:
    """The map that the tests edit."""
    found: Map[Any] = doc.get("answers", type=Map)
    return found


def connected(
    service: ServiceProcess,
    document: str,
    doc: Doc[Any],
    *,
    token: Token | None = None,
    linger: float = 5.0,
) -> DocumentClient:
    """A client of this service, of somebody who may write everything unless the token differs."""
    token = service.token() if token is None else token
    return DocumentClient(service.url, document, doc, token=token, backoff=QUICK, linger=linger)


def clocks(doc: Doc[Any]) -> dict[int, int]:
    """How many edits of each Yjs client a document has seen."""
    return decode_state_vector(doc.get_state())


async def converged(wanted: dict[str, Any], *sides: tuple[DocumentClient, Doc[Any]]) -> None:
    """Wait until every document holds exactly this."""
    with anyio.fail_after(PATIENCE):
        for client, doc in sides:
            await client.until(partial(_holds, doc, wanted))
    first, *others = [clocks(doc) for _, doc in sides]
    assert all(other == first for other in others)


def _holds(doc: Doc[Any], wanted: dict[str, Any], _: Status) -> bool:
    return answers(doc).to_py() == wanted
