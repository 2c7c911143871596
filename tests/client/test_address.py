"""From a service's address and a document's name to one URL."""

from __future__ import annotations

import pytest

from sync.client.address import document_url
from sync.core.errors import InvalidName


@pytest.mark.parametrize(
    ("url", "document", "expected"),
    [
        ("http://127.0.0.1:3001", "drafts/42", "ws://127.0.0.1:3001/sync/drafts/42"),
        ("http://127.0.0.1:3001/", "drafts/42", "ws://127.0.0.1:3001/sync/drafts/42"),
        ("ws://127.0.0.1:3001/sync", "a b+c%", "ws://127.0.0.1:3001/sync/a%20b%2Bc%25"),
        ("https://example.org/sync/", "é", "wss://example.org/sync/%C3%A9"),
        ("wss://[::1]:1/proxied/sync", "x", "wss://[::1]:1/proxied/sync/x"),
    ],
)
def test_an_address_is_what_serve_prints_or_what_a_provider_gets(
    url: str, document: str, expected: str
) -> None:
    assert document_url(url, document) == expected


@pytest.mark.parametrize("url", ["127.0.0.1:3001", "ftp://example.org", "http://", ""])
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected an address such as"):
        document_url(url, "drafts/42")


def test_a_name_is_checked_before_anything_is_sent() -> None:
    with pytest.raises(InvalidName):
        document_url("http://127.0.0.1:3001", "drafts//42")
