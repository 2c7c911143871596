"""What can go wrong for a client, beyond what a new connection heals.

::

    DraftsyncError
    └── ClientError
        ├── Denied       the server's final word (4400-4499): the client stops
        ├── ReadOnly     the connection stays, but edits are not taken
        ├── NotSaved     the block was left before the server had every edit on disk
        ├── Refused      an event cannot be published
        ├── Unpublished  the block was left before the server had an event on disk
        └── EventsLost   events that were to come are not in the log any more
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sync.core.errors import DraftsyncError


class ClientError(DraftsyncError):
    """Whatever the client raises on purpose."""


class Denied(ClientError):
    """The server's final word. Connecting again would not help; another token might.

    ``code`` is a close code of the contract, 4400 to 4499; ``reason`` one sentence for people.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code
        self.reason = reason


class ReadOnly(ClientError):
    """The server drops this connection's edits, so waiting for them to be saved is in vain."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotSaved(ClientError):
    """The block was left with edits that are not on the server's disk.

    They are still in the document: keep it, and connect it again. ``edits``: how many;
    ``reason``: what kept them from being saved, where it is known.
    """

    def __init__(self, edits: int, reason: str | None) -> None:
        super().__init__(f"{edits} edits are not on the server: {reason or 'no answer in time'}")
        self.edits = edits
        self.reason = reason


class Refused(ClientError):
    """The server does not take an event.

    ``code`` is one of :class:`sync.core.event_channel.Code`; ``reason`` one sentence for people.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code
        self.reason = reason


class Unpublished(ClientError):
    """The block was left before the server said that an event is on disk; it may be there."""

    def __init__(self) -> None:
        super().__init__("the client was closed before the event was known to be on disk")


class EventsLost(ClientError):
    """Events behind the last one that came are not in the log any more, or it is another log.

    Start anew from ``session``, which contains everything up to ``top``; iterating again gives what
    comes behind that.
    """

    def __init__(self, session: Mapping[str, Any], top: int) -> None:
        super().__init__(f"events up to {top} are gone: start from the session as it is")
        self.session = session
        self.top = top
