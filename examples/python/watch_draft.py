"""Print what a draft holds, now and whenever it changes; Ctrl-C ends it.

    python examples/python/watch_draft.py http://127.0.0.1:3001 drafts/refund-042

The token comes from DRAFTSYNC_TOKEN and needs the right to read only.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import anyio
from pycrdt import Doc, Map, Text

from sync.client import ClientError, DocumentClient


def shown(doc: Doc[Any]) -> str:
    """What a draft holds, as one line of JSON."""
    found: dict[str, object] = {"ratings": doc.get("ratings", type=Map).to_py()}
    for root in doc.keys():  # noqa: SIM118 - a Doc has keys, and cannot be iterated
        if root.startswith("comment/"):
            found[root] = str(doc.get(root, type=Text))
    return json.dumps(found, sort_keys=True)


async def main(url: str, document: str, token: str) -> None:
    """Watch until the server's last word, through every disconnection."""
    doc: Doc[Any] = Doc()
    printed = ""
    async with DocumentClient(url, document, doc, token=token) as client:
        await client.synced()
        async for _ in client.changes():
            if (line := shown(doc)) != printed:
                print(line, flush=True)
                printed = line


if __name__ == "__main__":
    try:
        anyio.run(main, sys.argv[1], sys.argv[2], os.environ["DRAFTSYNC_TOKEN"])
    except (IndexError, KeyError):
        sys.exit(__doc__)
    except ClientError as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        pass
