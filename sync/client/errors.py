"""What can go wrong for a client, beyond what a new connection heals.

::

    DraftsyncError
    └── ClientError
        ├── Denied      the server's final word (4400-4499): the client stops
        ├── ReadOnly    the connection stays, but edits are not taken
        └── NotSaved    the block was left before the server had every edit on disk
"""

from __future__ import annotations

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
