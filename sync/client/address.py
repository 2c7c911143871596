"""Where a document is: the address of a service and a document's name, made into one URL."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from sync.core.names import document_name, path_from_name

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def document_url(url: str, document: str) -> str:
    """The WebSocket address of a document.

    ``url`` is the service's address as it prints it (``http://127.0.0.1:3001``), or what a
    y-websocket provider is given (``ws://127.0.0.1:3001/sync``). Raises InvalidName, and ValueError
    for an address that is neither.
    """
    parts = urlsplit(url)
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ValueError(f"expected an address such as http://127.0.0.1:3001, not {url!r}")
    path = parts.path.rstrip("/") or "/sync"
    name = path_from_name(document_name(document))
    return urlunsplit((scheme, parts.netloc, f"{path}/{name}", parts.query, ""))
