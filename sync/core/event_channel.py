"""One connection of the WebSocket channel of session events: its protocol, without its socket.

Both sides send JSON text, one object a message. A client says::

    subscribe {epoch?, after?, status?}   first; again, it moves to another place in the log
    publish {id, kind, data}
    ack {offset}
    pong                                  to a ping of ours
    ping                                  which is answered with pong
    token {token}                         in the place of the one that it came with

Rules:

1. Wrong input is answered with an error, and changes nothing. Its code is for programs, its message
   for people; with an id it is about what had that id.
2. A subscriber is an offset: what it was sent up to. Who names a place from which the log is not
   whole any more (or not this log) gets no events from there, but what comes next.
3. Fields that nobody knows are ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn, TypeAlias
from urllib.parse import unquote_to_bytes

from sync.core.errors import (
    DraftsyncError,
    Draining,
    EventTooLarge,
    Forbidden,
    IllegalStep,
    InvalidEvent,
    InvalidSession,
    Overloaded,
    ProtocolError,
)
from sync.core.events import NewEvent, iso, new_event
from sync.core.session import SessionId, session_id

MOST_UNANSWERED = 2
"""Pings without a pong; when the next one is due, the client has gone."""

NOT_TEXT = b"\xfe"
"""Stands for a binary message; text is UTF-8, and so never this."""

_MAX_OFFSET = 2**53 - 1  # what every JSON reader tells apart
_MAX_ECHOED = 100  # characters of an id that is sent back in an error


class Code(StrEnum):
    """What an error is about."""

    MALFORMED = "malformed"  # no JSON, no message of ours, or a field is wrong
    NOT_SUBSCRIBED = "not-subscribed"  # something else came before subscribe
    INVALID_EVENT = "invalid-event"  # id, kind or data of what is to be published
    TOO_LARGE = "too-large"  # its data
    INVALID_OFFSET = "invalid-offset"  # acknowledged, and not there yet
    FORBIDDEN = "forbidden"  # for members, or for those whose token says so
    ILLEGAL_STEP = "illegal-step"  # not in this state of the session
    UNAVAILABLE = "unavailable"  # not now: try again
    UNAUTHORIZED = "unauthorized"  # final: the token is missing or bad
    TOKEN_EXPIRED = "token-expired"  # noqa: S105 - final: it was good once
    UNKNOWN_SESSION = "unknown-session"  # final
    INTERNAL = "internal"  # our own fault


class Refused(DraftsyncError):
    """What a client sent is answered with an error."""

    def __init__(self, code: Code, reason: str, message_id: str | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.message_id = message_id

    @classmethod
    def because(cls, error: ProtocolError, message_id: str | None = None) -> Refused:
        """The same as an error of the core."""
        return cls(_code(error), error.reason, message_id)

    @property
    def text(self) -> bytes:
        """The error, as it is sent."""
        return error_text(self.code, self.reason, self.message_id)


def _code(error: ProtocolError) -> Code:
    match error:
        case EventTooLarge():
            return Code.TOO_LARGE
        case InvalidEvent():
            return Code.INVALID_EVENT
        case IllegalStep():
            return Code.ILLEGAL_STEP
        case Forbidden():
            return Code.FORBIDDEN
        case Overloaded() | Draining():
            return Code.UNAVAILABLE
        case _:
            return Code.MALFORMED


# -- where it is

_PATH = re.compile(rb"/sessions/([^/]*)/events")


def session_in_path(path: bytes) -> bytes | None:
    """The part of a request path that names a session; None for another path."""
    found = _PATH.fullmatch(path)
    return found[1] if found else None


def session_from_path(part: bytes) -> SessionId:
    """The session that such a part names, percent-decoded exactly once. Raises InvalidSession."""
    try:
        return session_id(unquote_to_bytes(part).decode())
    except UnicodeDecodeError:
        raise InvalidSession("a session's id is text; these bytes are no UTF-8") from None


# -- what a client says


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Send what happened behind ``after``, in the log of that epoch, and what happens next."""

    epoch: str | None = None  # None: of whichever log it is
    after: int | None = None  # None: only what happens next
    status: bool = False  # and what goes on in the session, as it changes


@dataclass(frozen=True, slots=True)
class Publish:
    """Commit an event, and say so."""

    event: NewEvent


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Everything up to an offset is here."""

    offset: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there?"""


@dataclass(frozen=True, slots=True)
class Pong:
    """I am here."""


@dataclass(frozen=True, slots=True)
class RenewToken:
    """Go on with this token."""

    token: str


ClientMessage: TypeAlias = Subscribe | Publish | Acknowledge | Ping | Pong | RenewToken


def read(text: bytes) -> ClientMessage:
    """Read what a client sent. Raises Refused; UnicodeDecodeError for what is not even text."""
    fields = _fields(text)
    match fields.get("type"):
        case "publish":
            return _read_publish(fields)
        case "ack":
            return Acknowledge(_offset("offset", fields.get("offset")))
        case "pong":
            return Pong()
        case "subscribe":
            return _read_subscribe(fields)
        case "ping":
            return Ping()
        case "token":
            return _read_token(fields)
        case _:
            raise _malformed(
                "type must be one of subscribe, publish, ack, ping, pong, token", _id(fields)
            )


def _fields(text: bytes) -> dict[str, Any]:
    if text == NOT_TEXT:
        raise _malformed("messages are JSON text; this one was binary")
    decoded = text.decode()
    try:
        fields = _DECODER.decode(decoded)
    except RecursionError:
        raise _malformed("a message is not nested so deep") from None
    except ValueError as error:
        raise _malformed(f"a message is a JSON object; this is no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise _malformed('a message is a JSON object, such as {"type": "subscribe"}')
    return fields


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _read_publish(fields: dict[str, Any]) -> Publish:
    try:
        return Publish(new_event(fields.get("id"), fields.get("kind"), fields.get("data")))
    except InvalidEvent as error:
        raise Refused.because(error, _id(fields)) from None


def _read_subscribe(fields: dict[str, Any]) -> Subscribe:
    epoch, after = fields.get("epoch"), fields.get("after")
    status = fields.get("status", False)
    if not isinstance(epoch, str | None):
        raise _malformed("epoch must be the text that the session has as its epoch")
    if not isinstance(status, bool):
        raise _malformed("status must be true or false")
    return Subscribe(epoch, None if after is None else _offset("after", after), status)


def _read_token(fields: dict[str, Any]) -> RenewToken:
    token = fields.get("token")
    if not isinstance(token, str):
        raise _malformed("token must be a token, as text")
    return RenewToken(token)


def _offset(name: str, value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_OFFSET:
        raise _malformed(f"{name} must be an offset: a whole number from 0 on")
    return value


def _id(fields: Mapping[str, Any]) -> str | None:
    """The id to which an error belongs."""
    found = fields.get("id")
    return found if isinstance(found, str) and len(found) <= _MAX_ECHOED else None


def _malformed(reason: str, message_id: str | None = None) -> Refused:
    return Refused(Code.MALFORMED, reason, message_id)


# -- what it is told


def subscribed_text(
    epoch: str,
    top: int,
    session: Mapping[str, Any],
    *,
    recovered: bool,
    truncated_before: int | None,
) -> bytes:
    """The answer to subscribe; ``session`` contains everything up to ``top``."""
    told = {"type": "subscribed", "epoch": epoch, "top": top, "recovered": recovered}
    if truncated_before is not None:
        told["truncated_before"] = truncated_before
    return _text(told | {"session": session})


def published_text(event_id: str, offset: int) -> bytes:
    """An event is on disk; its id is one that was checked, and so needs no escapes."""
    return f'{{"type":"published","id":"{event_id}","offset":{offset}}}'.encode()


def error_text(code: Code, reason: str, message_id: str | None = None) -> bytes:
    """Something was wrong."""
    told = {"type": "error", "code": str(code), "message": reason}
    return _text(told if message_id is None else told | {"id": message_id})


def verdict_text(code: int, reason: str) -> bytes:
    """The last error, before a final close code."""
    if reason.startswith(Code.TOKEN_EXPIRED):
        return error_text(Code.TOKEN_EXPIRED, reason)
    return error_text(_VERDICTS.get(code, Code.INTERNAL), reason)


_VERDICTS = {
    4400: Code.MALFORMED,
    4401: Code.UNAUTHORIZED,
    4403: Code.FORBIDDEN,
    4404: Code.UNKNOWN_SESSION,
}


def ping_text(top: int, seconds: float) -> bytes:
    """Are you there? And have you got everything up to ``top``?"""
    return f'{{"type":"ping","top":{top},"time":"{iso(seconds)}"}}'.encode()


PONG_TEXT = b'{"type":"pong"}'


def token_text(expires: float) -> bytes:
    """The new token is taken."""
    return f'{{"type":"token","expires":"{iso(expires)}"}}'.encode()


def status_text(status: Mapping[str, Any]) -> bytes:
    """What goes on in the session."""
    return _text({"type": "status", "status": status})


def _text(told: Mapping[str, Any]) -> bytes:
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace")  # a lone surrogate, sent back in an id


# -- the machine


class EventChannel:
    """One connection, from its first message on."""

    __slots__ = ("_asked_at", "_unanswered", "offset", "resumes", "round_trip", "status")

    def __init__(self) -> None:
        self.offset: int | None = None
        """Of the last event that it was sent, or did not want; None before subscribe."""
        self.status = False
        """It wants to know what goes on in the session, too."""
        self.resumes = 0
        """How often it went on where it had been."""
        self.round_trip: float | None = None
        """Seconds from the last ping to its pong."""
        self._unanswered = 0  # pings
        self._asked_at = 0.0  # the first of them

    def receive(self, text: bytes) -> ClientMessage:
        """Read a message; the caller does what it says. Raises as :func:`read`."""
        message = read(text)
        if self.offset is None and isinstance(message, Publish | Acknowledge):
            raise Refused(Code.NOT_SUBSCRIBED, 'first send {"type": "subscribe"}', _id_of(message))
        return message

    def subscribe(self, message: Subscribe, *, epoch: str, top: int, truncated: int) -> bool:
        """Move to a place in a log whose last event is ``top``, whose last removed ``truncated``.

        False when the events between that place and ``top`` cannot be had: it is at ``top`` then.
        """
        self.status = message.status
        self.resumes += message.after is not None
        after = top if message.after is None else message.after
        same = message.epoch is None or message.epoch == epoch
        recovered = same and truncated <= after <= top
        self.offset = after if recovered else top
        return recovered

    def beat(self, now: float) -> bool:
        """A ping is to be sent now; False when those before had no answer: the client has gone."""
        if self._unanswered >= MOST_UNANSWERED:
            return False
        if not self._unanswered:
            self._asked_at = now
        self._unanswered += 1
        return True

    def answered(self, now: float) -> float | None:
        """A pong came; return the round trip in seconds, None where nobody had asked."""
        if not self._unanswered:
            return None
        self._unanswered = 0
        self.round_trip = now - self._asked_at
        return self.round_trip


def _id_of(message: ClientMessage) -> str | None:
    return message.event.id if isinstance(message, Publish) else None
