"""What can go wrong in the core, and what each error means for the one connection it costs.

::

    DraftsyncError
    ├── ProtocolError            close code, HTTP status and a reason for the client
    │   ├── MalformedMessage     4400  the bytes are not what the protocol says
    │   ├── InvalidName          4400  not a document name
    │   ├── Forbidden            4403  no right to this document
    │   ├── DocumentTooLarge     4413  the edit would take the document over its limit
    │   ├── MessageTooLarge      1009
    │   ├── InternalError        1011
    │   ├── Draining             1012  the server stops: come back
    │   └── Overloaded           1013  not now: come back later
    └── NativeFailure            the CRDT library failed: its document is not to be used again
"""

from __future__ import annotations

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


class Forbidden(ProtocolError):
    """The token gives no right to this document."""

    close_code, http_status = 4403, 403


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
