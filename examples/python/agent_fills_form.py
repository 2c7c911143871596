"""An agent fills in its part of an evaluation form, and ends when that is on the server's disk.

    python examples/python/agent_fills_form.py http://127.0.0.1:3001 drafts/refund-042

The token comes from DRAFTSYNC_TOKEN. ``draftsync demo`` prints some; so does ``draftsync token``.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import anyio
from pycrdt import Doc, Map, Text

from sync.client import ClientError, DocumentClient

AGENT = "checker-agent"  # the subject of our token
FINDINGS = {"accuracy": 1, "completeness": 2, "policy-kept": False}
REASONING = "\nThe policy allows refunds for 30 days; the customer wrote after 45."


def fill_in(doc: Doc[Any]) -> None:
    """Answer questions under our own name, and add to the reasoning that all share.

    Own answers are ``ratings``, under ``subject/question``: nobody else writes there, so nobody's
    answer is ever overwritten. Texts are ``comment/question``, and merge.
    """
    with doc.transaction():  # one edit: everyone sees all of it at once
        ratings = doc.get("ratings", type=Map)
        for question, answer in FINDINGS.items():
            ratings[f"{AGENT}/{question}"] = answer
        reasoning = doc.get("comment/reasoning", type=Text)
        reasoning += REASONING


async def main(url: str, document: str, token: str) -> None:
    """Connect, read what is there, write, and wait until it is saved."""
    doc: Doc[Any] = Doc()
    async with DocumentClient(url, document, doc, token=token) as client:
        await client.synced()
        fill_in(doc)
        await client.saved()
    print(f"{len(FINDINGS)} answers and a reason, saved in {document}")


if __name__ == "__main__":
    try:
        anyio.run(main, sys.argv[1], sys.argv[2], os.environ["DRAFTSYNC_TOKEN"])
    except (IndexError, KeyError):
        sys.exit(__doc__)
    except ClientError as error:
        sys.exit(f"{error}")
