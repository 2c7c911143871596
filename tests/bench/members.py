"""Members of a session who publish events, and check every event that comes to be the next one.

Everybody gets the same frames, so what was read once is compared and not read again.
"""

from __future__ import annotations

import json
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tests.bench.client import LARGEST_FRAME, PATIENCE, Pulse
from tests.bench.counting import Failed
from tests.bench.frames import frame

ACKNOWLEDGE_EVERY = 256
"""Events."""

_TEXT_AND_FINAL = b"\x81"


@dataclass
class Log:
    """What everybody is to get, and when it was sent and came."""

    pulse: Pulse
    events: list[bytes] = field(default_factory=list)  # behind the offset that all began at
    sent_at: dict[str, float] = field(default_factory=dict)  # by event id
    times: list[float] = field(default_factory=list)  # the same, in the order of the log
    published: array[float] = field(default_factory=lambda: array("d"))  # seconds, each event
    delivered: array[float] = field(default_factory=lambda: array("d"))  # and each delivery
    start: int = 0

    def append(self, payload: bytes) -> None:
        """Take note of an event that nobody had before."""
        event = json.loads(payload)
        if (offset := event["offset"]) != (due := self.start + len(self.events) + 1):
            raise Failed(f"event {offset} came when {due} was due")
        self.events.append(payload)
        self.times.append(self.sent_at[event["id"]])


def publication(number: int, author: int) -> tuple[str, bytes]:
    """An event's id, and the frame that publishes it."""
    event_id = str(UUID(int=(author << 64) + number, version=4))
    data = {
        "case": f"case-{number % 50}",
        "score": number % 5,
        "note": "the answer is right, but for the date",
    }
    message = {"type": "publish", "id": event_id, "kind": "review.note", "data": data}
    text = json.dumps(message, separators=(",", ":")).encode()
    return event_id, text_frame(text)


def text_frame(text: bytes) -> bytes:
    """One text message of a client's, as it is on the wire."""
    return _TEXT_AND_FINAL + frame(text)[1:]


class Member(WSListener):
    """One connection: subscribes to what comes next, and publishes ``own`` when told to."""

    def __init__(self, log: Log, own: Sequence[tuple[str, bytes]]) -> None:
        self.log = log
        self.sent = 0
        self.answered = 0
        self.received = 0  # events
        self.subscribed: dict[str, object] | None = None
        self._own = own
        self._numbers = {event_id: number for number, (event_id, _) in enumerate(own)}
        self._acknowledged = 0
        self._transport: WSTransport | None = None
        self._leaving = False

    async def connect(self, port: int, session: str, token: str) -> None:
        """Return when the WebSocket is open."""
        url = f"ws://127.0.0.1:{port}/sessions/{session}/events?token={token}"
        try:
            await ws_connect(
                lambda: self,
                url,
                max_frame_size=LARGEST_FRAME,
                websocket_handshake_timeout=PATIENCE,
                use_aiofastnet=False,
            )
        except (OSError, WSError) as error:
            raise Failed(f"{session} could not be joined: {error}") from error

    def publish(self, upto: int) -> None:
        """Publish as many of its own as to have published so many."""
        events = self._own[self.sent : upto]
        now, sent_at = time.perf_counter(), self.log.sent_at
        for event_id, _ in events:
            sent_at[event_id] = now
        self._open.underlying_transport.write(b"".join([block for _, block in events]))
        self.sent += len(events)

    async def leave(self) -> None:
        self._leaving = True
        self._open.send_close(WSCloseCode.OK)
        self._open.disconnect()
        await self._open.wait_disconnected()

    # ----------------------------------------------------------------------- called by picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        transport.send(WSMsgType.TEXT, b'{"type":"subscribe"}')

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT:
            if frame.msg_type == WSMsgType.CLOSE:
                transport.disconnect()
            return
        payload = frame.get_payload_as_bytes()
        if payload.startswith(b'{"type":"event"'):
            self._receive(payload)
        else:
            self._hear(json.loads(payload))
        if frame.last_in_buffer:
            self.log.pulse.changed()

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002
        if not self._leaving:
            self.log.pulse.fail(Failed("the server closed a channel"))

    def pause_writing(self) -> None:
        """The window bounds what is written ahead."""

    def resume_writing(self) -> None:
        pass

    # ------------------------------------------------------------------------------ inside

    def _receive(self, payload: bytes) -> None:
        log = self.log
        if self.received == len(log.events):
            try:
                log.append(payload)
            except Failed as failure:
                log.pulse.fail(failure)
        elif log.events[self.received] != payload:
            log.pulse.fail(Failed(f"another event came: {payload[:200]!r}"))
        log.delivered.append(time.perf_counter() - log.times[self.received])
        self.received += 1
        if self.received - self._acknowledged >= ACKNOWLEDGE_EVERY:
            self._acknowledged = self.received
            ack = f'{{"type":"ack","offset":{log.start + self.received}}}'.encode()
            self._open.send(WSMsgType.TEXT, ack)

    def _hear(self, message: dict[str, object]) -> None:
        match message["type"]:
            case "published":
                event_id = str(message["id"])
                if self._numbers[event_id] != self.answered:
                    self.log.pulse.fail(Failed("answers came out of order"))
                self.answered += 1
                took = time.perf_counter() - self.log.sent_at[event_id]
                self.log.published.append(took)
            case "subscribed":
                self.subscribed = message
            case "ping":
                self._open.send(WSMsgType.TEXT, b'{"type":"pong"}')
            case _:
                self.log.pulse.fail(Failed(f"the server said {message}"))

    @property
    def _open(self) -> WSTransport:
        if self._transport is None:
            raise Failed("not connected")
        return self._transport
