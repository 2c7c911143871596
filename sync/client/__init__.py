"""The Python client, for back ends and agents."""

from sync.client.client import DocumentClient, Status
from sync.client.errors import (
    ClientError,
    Denied,
    EventsLost,
    NotSaved,
    ReadOnly,
    Refused,
    Unpublished,
)
from sync.client.events import EventsClient, EventsStatus, SessionEvent
from sync.client.presence import Presence
from sync.client.reconnecting import Backoff, State, Token
from sync.client.replication import YDoc

__all__ = [
    "Backoff",
    "ClientError",
    "Denied",
    "DocumentClient",
    "EventsClient",
    "EventsLost",
    "EventsStatus",
    "NotSaved",
    "Presence",
    "ReadOnly",
    "Refused",
    "SessionEvent",
    "State",
    "Status",
    "Token",
    "Unpublished",
    "YDoc",
]
