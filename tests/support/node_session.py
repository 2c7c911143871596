"""Somebody in a session who uses JavaScript: fetch, the `ws` package, server-sent events.

The other end is tests/wire/lib/session.mjs, in the process of a
:class:`~tests.support.node.NodeDriver`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, NamedTuple

from tests.support.events import Event
from tests.support.node import PATIENCE, NodeDriver

_names = count(1)


class Answer(NamedTuple):
    """What came back from a request; the body is JSON, or None."""

    status: int
    type: str
    body: Any


class NodeSession:
    """One person's HTTP requests and events channel. Made by :func:`node_session`."""

    def __init__(self, driver: NodeDriver, name: str) -> None:
        self._driver = driver
        self._name = name

    async def get(self, path: str = "") -> Answer:
        """Read something of the session; `path` follows the session's own."""
        return Answer(**await self._call("http", path=path))

    async def post(self, path: str, body: Any = None, key: str | None = None) -> Answer:
        """Post JSON, or nothing, perhaps with an idempotency key."""
        headers = {} if key is None else {"idempotency-key": key}
        more = {} if body is None else {"body": body}
        found = await self._call("http", method="POST", path=path, headers=headers, **more)
        return Answer(**found)

    async def subscribe(self, epoch: str | None = None, after: int | None = None) -> dict[str, Any]:
        """Open the channel; return the server's answer."""
        known = {"epoch": epoch, "after": after}
        start = {key: value for key, value in known.items() if value is not None}
        found: dict[str, Any] = await self._call("subscribe", **{"from": start}, within=PATIENCE)
        return found

    async def publish(self, kind: str, data: Mapping[str, Any], event_id: str | None = None) -> int:
        """Publish over the channel; return the offset."""
        own = {} if event_id is None else {"event": event_id}
        asked = {"kind": kind, "data": data, **own}
        offset: int = (await self._call("publish", **asked, within=PATIENCE))["offset"]
        return offset

    async def acknowledge(self, offset: int) -> None:
        """Tell that everything up to an offset has come."""
        await self._call("acknowledge", offset=offset)

    async def event(self, within: float = PATIENCE, **like: Any) -> Event:
        """The first event on the channel with these members, once it has come."""
        return Event.of(await self._call("event", like=like, within=within))

    async def events(self) -> list[Event]:
        """What came over the channel so far."""
        return _events(await self._call("events"))

    async def drop(self) -> None:
        """Lose the channel, without a close frame."""
        await self._call("drop")

    async def replayed(self, epoch: str, top: int) -> list[Event]:
        """The log from 1 up to an offset, by a new channel that resumes from the beginning."""
        return _events(await self._call("replay", epoch=epoch, top=top, within=PATIENCE))

    async def history(self) -> list[Event]:
        """The whole log by HTTP, page by page."""
        return _events(await self._call("history"))

    async def streamed(self, top: int, last: str | None = None) -> tuple[list[Event], str]:
        """The log up to an offset by server-sent events, and the id of the last message.

        From the beginning, or, as an EventSource that comes back, from behind such an id.
        """
        found = await self._call("stream", last=last, top=top, within=PATIENCE)
        return _events(found["events"]), found["last"]

    async def _call(self, do: str, **arguments: Any) -> Any:
        return await self._driver.call(f"session.{do}", name=self._name, **arguments)


def _events(messages: list[dict[str, Any]]) -> list[Event]:
    return [Event.of(message) for message in messages]


@asynccontextmanager
async def node_session(
    driver: NodeDriver, url: str, session: str, token: str
) -> AsyncIterator[NodeSession]:
    """Somebody with a token for a session of the service at `url`."""
    name = f"session-{next(_names)}"
    await driver.call("session.enter", name=name, url=url, session=session, token=token)
    try:
        yield NodeSession(driver, name)
    finally:
        await driver.call("session.leave", name=name)
