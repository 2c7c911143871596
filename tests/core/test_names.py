"""One canonical name, authorised and used alike (fault 32)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.core.errors import InvalidName
from sync.core.names import document_name, name_from_path, path_from_name


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "drafts/42",
        "Entwürfe/ä ö",
        "a+b",
        "...",
        ".hidden",
        "a..b",
        "x" * 255,
        "ä" * 127,
    ],
)
def test_names_that_are_taken(name: str) -> None:
    assert document_name(name) == name
    assert name_from_path(path_from_name(document_name(name)).encode()) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "1 to 255 bytes"),
        ("x" * 256, "this one is 256"),
        ("ä" * 128, "this one is 256"),
        ("a\x00", "control"),
        ("a\n", "control"),
        ("\x7f", "control"),
        ("/a", "segment"),
        ("a/", "segment"),
        ("a//b", "segment"),
        (".", "segment"),
        ("a/../b", "segment"),
        ("a/./b", "segment"),
        ("\ud800", "surrogate"),
    ],
)
def test_names_that_are_refused(name: str, reason: str) -> None:
    with pytest.raises(InvalidName, match=reason):
        document_name(name)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"drafts/42", "drafts/42"),
        (b"drafts%2F42", "drafts/42"),
        (b"drafts%2f42", "drafts/42"),
        (b"a+b", "a+b"),
        (b"a%2Bb", "a+b"),
        (b"a%20b", "a b"),
        (b"%C3%A4", "ä"),
        ("ä".encode(), "ä"),
        (b"a%252Fb", "a%2Fb"),  # decoded once, not twice
    ],
)
def test_paths_are_decoded_exactly_once(path: bytes, name: str) -> None:
    assert name_from_path(path) == name


@pytest.mark.parametrize(
    "path",
    [b"", b"%", b"a%", b"a%2", b"a%zz", b"%00", b"a%0Ab", b"%2e%2e", b"a/%2E%2E/b", b"%ff", b"%2F"],
)
def test_paths_that_are_refused(path: bytes) -> None:
    with pytest.raises(InvalidName):
        name_from_path(path)


@given(st.text(min_size=1, max_size=300))
def test_every_name_taken_survives_its_address(text: str) -> None:
    try:
        name = document_name(text)
    except InvalidName:
        return
    address = path_from_name(name)
    assert address.isascii()
    assert name_from_path(address.encode()) == name


@given(st.binary(max_size=300))
def test_any_path_is_a_name_or_refused(path: bytes) -> None:
    try:
        name = name_from_path(path)
    except InvalidName:
        return
    assert document_name(name) == name
