"""Document names: one canonical form, authorised and used alike."""

from __future__ import annotations

import re
from typing import NewType
from urllib.parse import quote_from_bytes, unquote_to_bytes

from sync.core.errors import InvalidName

DocumentName = NewType("DocumentName", str)

MAX_BYTES = 255

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_STRAY_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def document_name(name: str) -> DocumentName:
    """Check a name: 1–255 bytes of UTF-8, no control characters, no empty, ``.`` or ``..`` segment.

    Raises InvalidName.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidName("a document name is UTF-8; this one has a lone surrogate") from None
    if not 1 <= size <= MAX_BYTES:
        raise InvalidName(f"a document name is 1 to {MAX_BYTES} bytes of UTF-8, this one is {size}")
    if _CONTROL.search(name):
        raise InvalidName("a document name has no control characters")
    if not {"", ".", ".."}.isdisjoint(name.split("/")):
        raise InvalidName("a document name has no empty, '.' or '..' segment between its slashes")
    return DocumentName(name)


def name_from_path(path: bytes) -> DocumentName:
    """Decode the part of a request path that names a document, percent-decoding exactly once.

    ``+`` is literal. Raises InvalidName.
    """
    if _STRAY_PERCENT.search(path):
        raise InvalidName("a '%' in an address begins an escape such as %2F; write %25 for itself")
    try:
        name = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise InvalidName("a document name is UTF-8; these bytes are not") from None
    return document_name(name)


def path_from_name(name: DocumentName) -> str:
    """The name as it stands in an address, slashes kept."""
    return quote_from_bytes(name.encode(), safe="/")
