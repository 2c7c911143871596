"""From a service's address and a name to one URL."""

from __future__ import annotations

import pytest

from sync.client.address import document_url, events_url
from sync.core.errors import InvalidName, InvalidSession


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


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:3001", "ws://127.0.0.1:3001/sessions/s.1/events"),
        ("http://127.0.0.1:3001/", "ws://127.0.0.1:3001/sessions/s.1/events"),
        ("ws://127.0.0.1:3001/sync", "ws://127.0.0.1:3001/sessions/s.1/events"),
        ("wss://[::1]:1/proxied/sync/", "wss://[::1]:1/proxied/sessions/s.1/events"),
        ("https://example.org/proxied", "wss://example.org/proxied/sessions/s.1/events"),
    ],
)
def test_the_address_of_a_sessions_events(url: str, expected: str) -> None:
    assert events_url(url, "s.1") == expected


def test_what_is_no_address_of_a_session() -> None:
    with pytest.raises(InvalidSession):
        events_url("http://127.0.0.1:3001", "a/b")
    with pytest.raises(ValueError, match="expected an address such as"):
        events_url("127.0.0.1:3001", "s1")
