"""What can go wrong in the core, and what each error means for the one connection it costs.

::

    DraftsyncError
    ├── ProtocolError            close code, HTTP status and a reason for the client
    │   ├── MalformedMessage     4400  the bytes are not what the protocol says
    │   ├── InvalidName          4400  not a document name
    │   ├── InvalidSession       4400  not a session, or not one of its test cases
    │   ├── InvalidEvent         4400  not an event
    │   │   └── EventTooLarge    4400  its data is over the limit
    │   ├── Forbidden            4403  no right to this document or session, or to this step
    │   ├── UnknownSession       4404
    │   ├── UnknownDocument      4404  there is no such document
    │   ├── Deleted              4404  the document was deleted, and is not served
    │   ├── IllegalStep          4409  not in this state; it knows which steps are open
    │   ├── Sealed               4409  the session is stopped: its drafts are read-only
    │   ├── NotDeleted           4409  of what can be done only with a deleted document
    │   ├── DocumentTooLarge     4413  the edit would take the document over its limit
    │   ├── MessageTooLarge      1009
    │   ├── InternalError        1011
    │   ├── Draining             1012  the server stops: come back
    │   └── Overloaded           1013  not now: come back later
    └── NativeFailure            the CRDT library failed: its document is not to be used again
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class DraftsyncError(Exception):
    """Whatever this package raises on purpose."""


class ProtocolError(DraftsyncError):
    """A verdict about one connection.

    ``reason`` is one sentence for the person at the other end: what was expected, what to do. It
    goes into a close frame, so :attr:`close_reason` keeps to the 123 bytes there are.
    """

    close_code: ClassVar[int]
    http_status: ClassVar[int]

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    @property
    def close_reason(self) -> str:
        """The reason, cut to what a WebSocket close frame holds (RFC 6455 section 5.5)."""
        return close_reason(self.reason)


class MalformedMessage(ProtocolError):
    """The bytes are not what the protocol says they should be."""

    close_code, http_status = 4400, 400


class InvalidName(ProtocolError):
    """Not a document name."""

    close_code, http_status = 4400, 400


class InvalidSession(ProtocolError):
    """What somebody says of a session cannot be."""

    close_code, http_status = 4400, 422


class InvalidEvent(ProtocolError):
    """What somebody wants to publish is no event."""

    close_code, http_status = 4400, 422


class EventTooLarge(InvalidEvent):
    """The data of what somebody wants to publish is over its limit."""


class Forbidden(ProtocolError):
    """The token gives no right to this document or session, or to what was asked of it."""

    close_code, http_status = 4403, 403


class UnknownSession(ProtocolError):
    """There is no session of that id."""

    close_code, http_status = 4404, 404


class UnknownDocument(ProtocolError):
    """Nothing was ever written to a document of that name."""

    close_code, http_status = 4404, 404

    def __init__(self, document: str) -> None:
        super().__init__(f"there is no document {document!r}, or nothing of it is saved yet")


class Deleted(ProtocolError):
    """The document was deleted. Nobody brings it back but an administrator."""

    close_code, http_status = 4404, 404

    def __init__(
        self, reason: str = "this document was deleted; an administrator can bring it back"
    ) -> None:
        super().__init__(reason)


class IllegalStep(ProtocolError):
    """The session is not in a state for this; ``open_steps`` are what can be done."""

    close_code, http_status = 4409, 409

    def __init__(self, reason: str, open_steps: Sequence[str]) -> None:
        super().__init__(reason)
        self.open_steps = tuple(open_steps)


class Sealed(ProtocolError):
    """The document belongs to a session that is stopped."""

    close_code, http_status = 4409, 409

    def __init__(self, reason: str = "the session is stopped: its drafts are read-only") -> None:
        super().__init__(reason)


class NotDeleted(ProtocolError):
    """The document is not deleted, and what was asked can be done only then."""

    close_code, http_status = 4409, 409


class DocumentTooLarge(ProtocolError):
    """The edit would take the document over its limit."""

    close_code, http_status = 4413, 413


class MessageTooLarge(ProtocolError):
    """One message is over the limit for its kind."""

    close_code, http_status = 1009, 413


class InternalError(ProtocolError):
    """The server's own fault."""

    close_code, http_status = 1011, 500


class Draining(ProtocolError):
    """The server stops or restarts; nothing is lost by coming back."""

    close_code, http_status = 1012, 503


class Overloaded(ProtocolError):
    """The server cannot serve this connection now; it should come back later."""

    close_code, http_status = 1013, 503


class NativeFailure(DraftsyncError):
    """The CRDT library raised or panicked.

    The document it was working on may be half changed: it must be dropped and built again.
    """


def close_reason(reason: str) -> str:
    """Cut a reason to the 123 bytes of UTF-8 that a close frame holds (RFC 6455 section 5.5)."""
    return reason.encode()[:123].decode(errors="ignore")
