"""The Python client of a session's events: the log in order, and a way to add to it.

::

    async with EventsClient("http://127.0.0.1:3001", "s1", token=token) as client:
        await client.publish("review.note", {"text": "well done"})  # on the server's disk
        async for event in client:
            print(event.offset, event.kind, event.data)

Events come in order, without gaps or repeats, over however many connections.
"""

from __future__ import annotations

import json
import ssl
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from sync.client.address import events_url
from sync.client.errors import ClientError, EventsLost, Refused, Unpublished
from sync.client.reconnecting import Backoff, Reconnecting, State, Token, bare_errors
from sync.core.errors import MalformedMessage
from sync.core.event_channel import Code
from sync.core.events import new_event

QUEUED = 1_000
"""Events that are kept for who iterates."""

ACKNOWLEDGE_SECONDS = 0.2
"""Between two acknowledgements."""

_AGAIN = (Code.UNAVAILABLE, Code.INTERNAL)


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """Something that happened in a session."""

    offset: int  # the first of a session is 1, each next one more
    id: str
    kind: str  # such as session.started, or whatever was published
    actor: str  # the subject who did it
    time: str  # by the server's clock; ISO 8601
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EventsStatus:
    """A client at one moment."""

    state: State
    offset: int | None  # of the last event that has come; None: it was never connected
    unpublished: int  # events that are not known to be on the server's disk
    reason: str | None  # why it is not online


@dataclass(slots=True, eq=False)
class _Publication:
    """An event on its way, until it is on disk or refused."""

    message: str
    outcome: int | ClientError | None = None
    again: bool = False  # after a while: the server cannot take it now
    ended: anyio.Event = field(default_factory=anyio.Event)

    def end(self, outcome: int | ClientError) -> None:
        self.outcome = outcome
        self.ended.set()


class EventsClient(Reconnecting[EventsStatus]):
    """Follows a session inside its ``async with`` block, and publishes in it.

    ``url`` is the service's address; ``token`` as of :class:`~sync.client.client.DocumentClient`.
    Events begin behind the offset ``after`` in the log named ``epoch``; without, with what happens
    from now on. An event is acknowledged when the next one is asked for; ``acknowledge=False``
    leaves that to nobody. One may publish without iterating. With ``watch``, :attr:`session_status`
    is what goes on.

    A final verdict of the server cancels the block and raises
    :class:`~sync.client.errors.Denied`. Raises InvalidSession.
    """

    def __init__(
        self,
        url: str,
        session: str,
        *,
        token: Token,
        after: int | None = None,
        epoch: str | None = None,
        acknowledge: bool = True,
        watch: bool = False,
        backoff: Backoff | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(events_url(url, session), token=token, backoff=backoff, tls=tls)
        self.session: Mapping[str, Any] | None = None
        """The session when it was last connected; None before."""
        self.session_status: Mapping[str, Any] | None = None
        """What goes on in it; None until it is known."""
        self.epoch = epoch
        self._watch = watch
        self._acknowledges = acknowledge
        self._no_member = False  # and so may not acknowledge, on this connection
        self._last = after  # the offset of the last event that was queued, or is not wanted
        self._queue: deque[SessionEvent | EventsLost] = deque()
        self._given: int | None = None  # the offset of the event that whoever iterates has
        self._consumed: int | None = None  # and of the last one that it is done with
        self._publications: dict[str, _Publication] = {}
        self._open: ClientConnection | None = None  # that has subscribed
        self._unanswered = 0  # subscriptions: what comes before the last answer is of an old one
        self._skipping = False  # what comes is not queued, and asked for again
        self._said: str | None = None  # by the last error

    # -- what it is like now

    @property
    def status(self) -> EventsStatus:
        """The client as it is now."""
        return EventsStatus(self._state, self._last, len(self._publications), self._reason)

    async def connected(self) -> None:
        """Wait until it is connected, and knows the session."""
        await self.until(lambda status: status.state is State.ONLINE)

    # -- events

    def __aiter__(self) -> EventsClient:
        return self

    async def __anext__(self) -> SessionEvent:
        """The next event. Raises EventsLost, and Denied when the client stopped for good."""
        self._consume()
        while not self._queue:
            changed = self._changed  # before looking, so that no change is missed
            if self._denied is not None:
                raise self._denied
            if self._skipping:
                await self._ask_again()
            await changed.wait()
        event = self._queue.popleft()
        self._change()  # there is room
        if isinstance(event, EventsLost):
            raise event
        self._given = event.offset
        return event

    def _consume(self) -> None:
        """Whoever asks for the next event is done with the one before."""
        if self._given is not None and self._given != self._consumed:
            self._consumed = self._given
            self._change()

    async def publish(self, kind: str, data: Mapping[str, Any], *, id: str | None = None) -> int:  # noqa: A002
        """Publish an event; return its offset when it is on the server's disk.

        However often that takes a new connection: the event is sent again under the same ``id``, a
        UUID, by which the server stores it once. Raises InvalidEvent at once for what is no event,
        Refused where the server does not take it, and Denied; Unpublished when the block is left.
        """
        event = new_event(id or str(uuid.uuid4()), kind, dict(data))
        publication = self._publications.get(event.id)
        if publication is None:
            text = json.dumps({"type": "publish", "id": event.id, "kind": event.kind})
            publication = _Publication(f'{text[:-1]},"data":{event.data}}}')
            self._publications[event.id] = publication
            self._change()
            await self._send(publication.message)
        await publication.ended.wait()
        if isinstance(publication.outcome, int):
            return publication.outcome
        assert publication.outcome is not None  # noqa: S101 - it ended
        raise publication.outcome

    # -- a connection

    async def _converse(self, socket: ClientConnection) -> ConnectionClosed | MalformedMessage:
        self._said, self._unanswered, self._skipping = None, 0, False
        self._no_member = False
        try:
            with bare_errors():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._greet, socket)
                    tasks.start_soon(self._acknowledge, socket)
                    tasks.start_soon(self._try_again, socket)
                    trouble = await self._receive_all(socket)
                    tasks.cancel_scope.cancel()
            return trouble
        finally:
            self._open = None

    async def _greet(self, socket: ClientConnection) -> None:
        """Subscribe, and publish once more what had no answer."""
        with suppress(ConnectionClosed):
            await self._subscribe(socket, self._last)
            self._open = socket  # from now on others send on it
            for publication in list(self._publications.values()):
                await socket.send(publication.message)

    async def _subscribe(self, socket: ClientConnection, after: int | None) -> None:
        self._unanswered += 1
        message: dict[str, Any] = {"type": "subscribe", "status": self._watch}
        if after is not None:
            message["after"] = after
            if self.epoch is not None:
                message["epoch"] = self.epoch
        await socket.send(json.dumps(message))

    async def _send(self, text: str) -> None:
        """Send a message; without a connection it is for the next one to say."""
        if self._open is not None:
            with suppress(ConnectionClosed):
                await self._open.send(text)

    async def _receive_all(self, socket: ClientConnection) -> ConnectionClosed | MalformedMessage:
        while True:
            try:
                text = await socket.recv(decode=True)
                await self._receive(socket, json.loads(text))
            except (ConnectionClosed, MalformedMessage) as trouble:
                return trouble
            except (ValueError, KeyError, TypeError) as error:
                return MalformedMessage(f"the server sent what is no message: {error!r}")
            self._change()

    async def _receive(self, socket: ClientConnection, message: dict[str, Any]) -> None:
        match message["type"]:
            case "event":
                await self._take(socket, message)
            case "published":
                if (publication := self._publications.pop(message["id"], None)) is not None:
                    publication.end(message["offset"])
            case "subscribed":
                self._settle(message)
            case "ping":
                await socket.send('{"type":"pong"}')
            case "status":
                self.session_status = message["status"]
            case "error":
                self._hear(message)

    def _settle(self, message: dict[str, Any]) -> None:
        """The answer to a subscription; all but the last are of no interest any more."""
        self._unanswered -= 1
        self.session = message["session"]
        if self._unanswered or self._skipping:
            return
        if not message["recovered"]:
            self._lose(message)
        if self._last is None:
            self._last = message["top"]
        self.epoch = message["epoch"]
        self._settled()

    def _lose(self, message: dict[str, Any]) -> None:
        """Go on behind a gap, or in another log: there nothing of the old one counts."""
        if self.epoch != message["epoch"]:
            self._queue.clear()
            self._given = self._consumed = None
        self._queue.append(EventsLost(message["session"], message["top"]))
        self._last = message["top"]

    async def _take(self, socket: ClientConnection, message: dict[str, Any]) -> None:
        """Queue an event; without room wait for it, but not while an answer may be behind it."""
        if self._unanswered or self._skipping or self._last is None:
            return
        event = SessionEvent(
            message["offset"],
            message["id"],
            message["kind"],
            message["actor"],
            message["time"],
            message["data"],
        )
        if event.offset <= self._last:
            return
        if event.offset != self._last + 1:
            raise MalformedMessage(f"event {event.offset} came when {self._last + 1} was due")
        while len(self._queue) >= QUEUED and not self._publications:
            await self._changed.wait()
        if len(self._queue) < QUEUED:
            self._queue.append(event)
            self._last = event.offset
        else:
            self._skipping = True
            await self._subscribe(socket, None)  # what comes next is all that will be skipped

    async def _ask_again(self) -> None:
        """Subscribe to what was skipped."""
        if self._open is not None:
            self._skipping = False
            with suppress(ConnectionClosed):
                await self._subscribe(self._open, self._last)

    def _hear(self, message: dict[str, Any]) -> None:
        """An error: of a publication, where it has its id."""
        code, reason = message["code"], message["message"]
        publication = self._publications.get(message.get("id", ""))
        if publication is None:
            self._said = reason
            self._no_member = code == Code.FORBIDDEN  # who acknowledged
        elif code in _AGAIN:
            publication.again = True
        else:
            del self._publications[message["id"]]
            publication.end(Refused(code, reason))

    async def _try_again(self, socket: ClientConnection) -> None:
        """Publish again what the server could not take a while ago."""
        failures = 0
        with suppress(ConnectionClosed):
            while True:
                changed = self._changed
                due = [each for each in self._publications.values() if each.again]
                if not due:
                    await changed.wait()
                    continue
                failures += 1
                await anyio.sleep(self._backoff.delay(failures))
                for publication in due:
                    publication.again = False
                    await socket.send(publication.message)

    async def _acknowledge(self, socket: ClientConnection) -> None:
        """Tell the server now and then up to where whoever iterates is done."""
        told: int | None = None
        with suppress(ConnectionClosed):
            while True:
                changed = self._changed
                if (due := self._acknowledgeable) != told and due is not None:
                    told = due
                    await socket.send(_acknowledgement(told))
                    await anyio.sleep(ACKNOWLEDGE_SECONDS)
                else:
                    await changed.wait()

    @property
    def _acknowledgeable(self) -> int | None:
        if self._state is not State.ONLINE:
            return None  # before it is subscribed, nobody knows whether it is the same log
        return None if self._no_member or not self._acknowledges else self._consumed

    async def _say_goodbye(self, socket: ClientConnection) -> None:
        if (due := self._acknowledgeable) is not None:
            await socket.send(_acknowledgement(due))

    def _forget(self) -> None:
        for publication in self._publications.values():
            publication.end(self._denied or Unpublished())
        self._publications.clear()

    @property
    def _last_reason(self) -> str | None:
        return self._said


def _acknowledgement(offset: int) -> str:
    return f'{{"type":"ack","offset":{offset}}}'
