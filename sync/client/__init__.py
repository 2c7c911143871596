"""The Python client, for back ends and agents."""

from sync.client.client import Backoff, DocumentClient, State, Status, Token
from sync.client.errors import ClientError, Denied, NotSaved, ReadOnly
from sync.client.presence import Presence
from sync.client.replication import YDoc

__all__ = [
    "Backoff",
    "ClientError",
    "Denied",
    "DocumentClient",
    "NotSaved",
    "Presence",
    "ReadOnly",
    "State",
    "Status",
    "Token",
    "YDoc",
]
