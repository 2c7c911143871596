"""Lead a session: create and start it, print what happens, stop it when every draft is complete.

    python examples/python/lead_a_session.py http://127.0.0.1:3001 refunds-7 refund-041 refund-042

After the session's id come its test cases. The token comes from DRAFTSYNC_TOKEN and must say lead:
``draftsync token --sub lena --session refunds-7=lead``. Run it again after whatever ended it, and
it goes on where it was.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import anyio
import httpx

from sync.client import ClientError, EventsClient


async def tell(http: httpx.AsyncClient, path: str, body: dict[str, Any] | None = None) -> None:
    """Have something done once: the key makes the second request of a second run no other one."""
    answer = await http.post(path, json=body, headers={"Idempotency-Key": "lead-a-session"})
    if answer.is_error:
        sys.exit(answer.json()["detail"])


async def main(url: str, session: str, cases: list[str], token: str) -> None:
    """Follow the session from its first event to its last."""
    sessions, bearer = f"{url}/api/v1/sessions", {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(headers=bearer) as http:
        outline = {"id": session, "project": "Support agent", "test_cases": cases}
        await tell(http, sessions, outline)
        await tell(http, f"{sessions}/{session}/start")
        missing = set(cases)
        async with EventsClient(url, session, token=token, after=0) as events:
            async for event in events:
                print(event.offset, event.actor, event.kind, json.dumps(event.data), flush=True)
                match event.kind:
                    case "draft.completed":
                        missing.discard(event.data["case"])
                        if not missing:
                            await tell(http, f"{sessions}/{session}/stop")
                    case "draft.reopened":
                        missing.add(event.data["case"])
                    case "session.stopped":
                        break


if __name__ == "__main__":
    try:
        anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3:], os.environ["DRAFTSYNC_TOKEN"])
    except (IndexError, KeyError):
        sys.exit(__doc__)
    except (ClientError, httpx.TransportError) as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        pass
