"""Where things are: the address of a service and a name, made into one URL."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit, urlunsplit

from sync.core.names import document_name, path_from_name
from sync.core.session import session_id

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def document_url(url: str, document: str) -> str:
    """The WebSocket address of a document.

    ``url`` is the service's address as it prints it (``http://127.0.0.1:3001``), or what a
    y-websocket provider is given (``ws://127.0.0.1:3001/sync``). Raises InvalidName, and ValueError
    for an address that is neither.
    """
    scheme, parts = _service(url)
    path = parts.path.rstrip("/") or "/sync"
    name = path_from_name(document_name(document))
    return urlunsplit((scheme, parts.netloc, f"{path}/{name}", parts.query, ""))


def events_url(url: str, session: str) -> str:
    """The WebSocket address of a session's events; ``url`` as of :func:`document_url`.

    Raises InvalidSession, and ValueError for what is no address.
    """
    scheme, parts = _service(url)
    path = parts.path.rstrip("/").removesuffix("/sync")
    path = f"{path}/sessions/{session_id(session)}/events"
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


def _service(url: str) -> tuple[str, SplitResult]:
    parts = urlsplit(url)
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ValueError(f"expected an address such as http://127.0.0.1:3001, not {url!r}")
    return scheme, parts
