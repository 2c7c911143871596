"""A client of session events for tests, written from the contract (sections 5 and 6) alone.

:class:`Reading` is the judge: one reader's copy of a session's log, over any number of connections
and of every kind. It raises :class:`WrongLog` at the first gap, disorder, or event that is another
one than before. :class:`Channel` is one WebSocket connection of such a reader, and
:class:`Api` the HTTP side.
"""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import uuid4

import anyio
import httpx
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.support.client import PATIENCE, Closed

LOST = (WebSocketException, OSError, EOFError, httpx.TransportError)
"""What a client meets while the server is down, or going down."""

PAGE = 1_000

sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type] # None: it is not there
# httpcore looks for it at every request, which takes half a millisecond where it is not.

_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""To read those of the system takes each client 40 ms."""

Message = Mapping[str, Any]


class WrongLog(AssertionError):
    """The log is not what the contract promises."""


class Event(NamedTuple):
    """One event as everybody gets it, in whatever way."""

    offset: int
    id: str
    kind: str
    actor: str
    time: str
    data: Any

    @classmethod
    def of(cls, message: Message) -> Event:
        """Read a message of the channel, an item of the history, or the data of an SSE event."""
        return cls(*(message[name] for name in cls._fields))


class Reading:
    """What one reader knows of a session's log: ``events`` without repeats, by offset from 1."""

    def __init__(self, session: str, epoch: str | None = None) -> None:
        self.session = session
        self.epoch = epoch
        self.events: list[Event] = []
        self.published: dict[str, int] = {}  # what it was told of its own events
        self.last_id: str | None = None  # of a stream: the server's word for where it stands
        self.repeats = 0
        self.connections = 0
        self._known: dict[str, Event] = {}
        self._next = 1  # the offset that must come now on this connection

    @property
    def top(self) -> int:
        """Offset of the last event that it has."""
        return self.events[-1].offset if self.events else 0

    def resume(self, forget: int = 0) -> int:
        """Begin a connection; return the offset to ask from. ``forget`` so many events before."""
        self.connections += 1
        after = max(0, self.top - forget)
        self._next = after + 1
        return after

    def check_subscribed(self, message: Message) -> None:
        """The server's first word: the same epoch as ever, and nothing that it cannot fill."""
        self.check_epoch(message["epoch"])
        if not message["recovered"]:
            raise WrongLog(f"{self.session}: not recovered from {self.top}: {message}")
        if message["top"] < self.top:
            raise WrongLog(f"{self.session}: the log was cut at {message['top']}, {self.top} seen")

    def check_epoch(self, epoch: str) -> None:
        """The log is the same one as ever."""
        self.epoch = self.epoch or epoch
        if epoch != self.epoch:
            raise WrongLog(f"{self.session}: another log: epoch {epoch}, not {self.epoch}")

    def take(self, event: Event) -> None:
        """The next event of this connection."""
        if event.offset != self._next:
            raise WrongLog(f"{self.session}: {self._next} was to come, and {event} came")
        self._next += 1
        if (known := self._known.get(event.id)) is not None:
            self.repeats += 1
            if known != event:
                raise WrongLog(f"{self.session}: {known} has come again as {event}")
            return
        if event.offset != self.top + 1:
            raise WrongLog(f"{self.session}: {event} instead of {self.events[event.offset - 1]}")
        self._known[event.id] = event
        self.events.append(event)

    def check_published(self, event_id: str, offset: int) -> None:
        """An event of one's own is on disk, and has one offset for ever."""
        if self.published.setdefault(event_id, offset) != offset:
            raise WrongLog(f"{event_id} was {self.published[event_id]}, and is {offset} now")


class Channel:
    """One connection to the events channel. :meth:`run` reads until the server has gone."""

    def __init__(self, socket: ClientConnection, reading: Reading) -> None:
        self.reading = reading
        self.subscribed: Message | None = None
        self.errors: list[Message] = []
        self.statuses: list[Message] = []
        self.closed: Closed | None = None
        self._socket = socket
        self._news = anyio.Event()

    async def run(self) -> None:
        """Take what comes; what is wrong is raised here."""
        try:
            async for text in self._socket:
                assert isinstance(text, str), "the channel speaks in text frames"
                await self._take(json.loads(text))
                self._stir()
        except ConnectionClosed:
            pass  # how is in `closed`
        finally:
            code = self._socket.close_code
            self.closed = Closed(1006 if code is None else code, self._socket.close_reason or "")
            self._stir()

    async def _take(self, message: Message) -> None:
        match message["type"]:
            case "event":
                assert self.subscribed is not None, "an event before `subscribed`"
                self.reading.take(Event.of(message))
            case "subscribed":
                self.reading.check_subscribed(message)
                self.subscribed = message
            case "published":
                self.reading.check_published(message["id"], message["offset"])
            case "ping":
                await self.send(type="pong")
            case "status":
                self.statuses.append(message["status"])
            case "error":
                self.errors.append(message)
            case unknown:
                raise WrongLog(f"the contract knows no {unknown}: {message}")

    def _stir(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def send(self, **message: Any) -> None:
        """Send any message; raises ConnectionClosed."""
        await self._socket.send(json.dumps(message))

    async def subscribe(self, forget: int = 0, **more: Any) -> Message:
        """Subscribe from where the reading ends, or ``forget`` events earlier."""
        after = self.reading.resume(forget)
        await self.send(type="subscribe", epoch=self.reading.epoch, after=after, **more)
        await self.until(lambda: self.subscribed is not None)
        assert self.subscribed is not None
        return self.subscribed

    async def publish(self, kind: str, data: Any, event_id: str | None = None) -> int:
        """Publish, and wait for the offset."""
        event_id = event_id or str(uuid4())
        await self.send(type="publish", id=event_id, kind=kind, data=data)
        await self.until(lambda: event_id in self.reading.published)
        return self.reading.published[event_id]

    async def until(self, condition: Callable[[], bool], within: float = PATIENCE) -> None:
        """Wait for what messages bring about. Raises ConnectionError when the server has gone."""
        with anyio.fail_after(within):
            while not condition():
                if self.closed is not None:
                    raise ConnectionError(f"closed: {self.closed}, errors: {self.errors}")
                await self._news.wait()

    async def close(self) -> None:
        """Leave with a goodbye."""
        await self._socket.close()

    async def reads(self, offset: int, within: float = PATIENCE) -> None:
        """Wait until the reading has come as far as an offset."""
        await self.until(lambda: self.reading.top >= offset, within)


@asynccontextmanager
async def subscribing(
    url: str, session: str, token: str, reading: Reading | None = None, *, buffer: int = 16
) -> AsyncIterator[Channel]:
    """Open the events channel of a session at a service's address (``http://…``).

    Leaving the block drops the connection without a word. Of the two errors that a broken log or a
    killed server causes at once, what was judged wrong is raised.
    """
    address = f"ws{url.removeprefix('http')}/sessions/{session}/events?token={token}"
    socket = await connect_websocket(
        address, max_size=None, max_queue=buffer, compression=None, ping_interval=None, proxy=None
    )
    client = Channel(socket, reading or Reading(session))
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.run)
            yield client
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        wrong, rest = group.split(AssertionError)
        raise (wrong or rest or group).exceptions[0] from None
    finally:
        socket.transport.abort()
        with anyio.CancelScope(shield=True):
            await socket.wait_closed()


class Api:
    """The HTTP side for one person."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"{url}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE,
            verify=_NO_CERTIFICATES,
            trust_env=False,
        )

    async def __aenter__(self) -> Api:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self._http.get(path, params=query)

    async def post(self, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
        """Post JSON, or nothing; with an idempotency key the same again is the same once."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self._http.post(path, json=body, headers=headers)

    async def create(self, **outline: Any) -> Message:
        """Create a session; return it."""
        return _checked(await self.post("/sessions", outline), 201)

    async def session(self, session: str) -> Message:
        """Read a session."""
        return _checked(await self.get(f"/sessions/{session}"), 200)

    async def step(self, session: str, step: str, **body: Any) -> Message:
        """Join, leave, start, pause, resume or stop."""
        return _checked(await self.post(f"/sessions/{session}/{step}", body or None), 200)

    async def history(self, session: str, page: int = PAGE) -> Reading:
        """The whole log, page by page."""
        reading = Reading(session)
        reading.resume()
        while True:
            answer = await self.get(f"/sessions/{session}/events", after=reading.top, limit=page)
            told = _checked(answer, 200)
            reading.check_epoch(told["epoch"])
            for item in told["events"]:
                reading.take(Event.of(item))
            assert told["next"] in (None, reading.top)
            if told["next"] is None:
                assert told["top"] == reading.top
                return reading

    @asynccontextmanager
    async def stream(self, reading: Reading, forget: int = 0) -> AsyncIterator[EventStream]:
        """Server-sent events from where the reading ends, or ``forget`` events earlier.

        As with EventSource: the address says where to begin, ``Last-Event-ID`` where to go on.
        """
        after = reading.resume(forget)
        last = {} if forget or reading.last_id is None else {"Last-Event-ID": reading.last_id}
        headers = {"Accept": "text/event-stream", **last}
        path, begin = f"/sessions/{reading.session}/events", {"after": 0 if last else after}
        async with self._http.stream("GET", path, params=begin, headers=headers) as answer:
            if answer.status_code != 200:
                await answer.aread()
            _check(answer, 200)
            yield EventStream(answer, reading)


class EventStream:
    """One stream of server-sent events."""

    def __init__(self, answer: httpx.Response, reading: Reading) -> None:
        self._lines = _lines(answer)
        self.reading = reading

    async def reads(self, offset: int, within: float = PATIENCE) -> None:
        """Read until the reading has come as far as an offset. Raises EOFError."""
        with anyio.fail_after(within):
            while self.reading.top < offset:
                self._take(await self._message())

    async def _message(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        while line := await anext(self._lines, None):
            name, _, value = line.partition(":")  # a comment has no name
            fields[name] = value.removeprefix(" ")
        if line is None:
            raise EOFError("the stream has ended")
        return fields

    def _take(self, fields: dict[str, str]) -> None:
        message = json.loads(fields.get("data", "{}"))
        match message.get("type"):
            case "subscribed":
                self.reading.check_subscribed(message)
            case "event":
                self.reading.take(Event.of(message))
                self.reading.last_id = fields["id"]
            case "error":
                raise EOFError(message["message"])


async def _lines(answer: httpx.Response) -> AsyncIterator[str]:
    """Lines as EventSource splits them; those of httpx end at U+2028, too."""
    rest = b""
    async for chunk in answer.aiter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode()


def _check(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, f"{answer.request.url}: {answer} {answer.text[:500]}"


def _checked(answer: httpx.Response, status: int) -> Message:
    _check(answer, status)
    found: Message = answer.json()
    return found
