"""The archive's lines and file: what was written comes back, anything else is refused in words."""

from __future__ import annotations

import io
import json
import zipfile
from hashlib import sha256
from typing import Any

import pytest

from persistence.store import ClientRange, Deletion, Edit, Entry, Event, Position, StoredEvent
from sync.inspection.archive import (
    DELETIONS,
    DOCUMENTS,
    FORMAT,
    MANIFEST,
    SESSIONS,
    VERSION,
    ArchiveReader,
    ArchiveWriter,
    BadArchive,
    deletion_line,
    entry_line,
    event_line,
    read_deletion,
    read_document,
    read_entry,
    read_event,
    read_session,
)

ENTRY = Entry(
    Position(3),
    Edit("d", b"\x00\xff", "älice\n", (ClientRange(7, 1, 2, True),), 1.5, 4, True),
)
EVENT = StoredEvent(9, Event("id", "review.note", "bob", 2.5, '{"text": "\\u0000"}'))
DELETION = Deletion("d", "admin", 3.5, purged=True)


def archive(lines: bytes = b"", manifest: bytes | None = None) -> io.BytesIO:
    """One that is as its manifest says."""
    held = {DOCUMENTS: lines, DELETIONS: b"", SESSIONS: b""}
    files = {name: {"sha256": sha256(data).hexdigest()} for name, data in held.items()}
    whole = {"format": FORMAT, "version": VERSION, "counts": {}, "files": files}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        for name, data in held.items():
            written.writestr(name, data)
        written.writestr(MANIFEST, json.dumps(whole) if manifest is None else manifest)
    return file


def test_lines_come_back() -> None:
    file = io.BytesIO()
    writer = ArchiveWriter(file, {"created": "now"})
    told = [{"document": "d", "position": 3}, entry_line(ENTRY)]
    for name, lines in (
        (DOCUMENTS, told), (DELETIONS, [deletion_line(DELETION)]), (SESSIONS, [event_line(EVENT)]),
    ):  # fmt: skip
        with writer.part(name) as part:
            for line in lines:
                part.write(line)
    writer.finish()
    reader = ArchiveReader(file)
    reader.verify()
    document, entry = reader.lines(DOCUMENTS)
    assert read_document(document).document == "d"
    assert read_entry(entry, "d") == ENTRY
    assert [read_deletion(line) for line in reader.lines(DELETIONS)] == [DELETION]
    assert [read_event(line) for line in reader.lines(SESSIONS)] == [EVENT]
    assert reader.counts == {"document": 1, "entry": 1, "deletion": 1, "event": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        *[{"time": each} for each in ("noon", None, float("nan"), float("inf"), 1e18)],
        *[{"connection": each} for each in (-1, 2**70, 1.5, "1", True)],
        *[{"author": each} for each in (None, 7, "\ud800")],
        *[{"clients": each} for each in (7, [7], [[7, 0]], [[2**60, 0, 1, False]])],
        *[{"update": each} for each in (None, "not base64!")],
    ],
)
def test_an_entry_that_no_store_takes_is_refused(wrong: dict[str, Any]) -> None:
    line = json.loads(json.dumps(entry_line(ENTRY) | wrong))
    with pytest.raises(BadArchive):
        read_entry(line, "d")


def test_lines_of_another_shape_are_refused() -> None:
    for read in (read_document, read_deletion, read_session, read_event):
        with pytest.raises(BadArchive):
            read({"document": "d"})


@pytest.mark.parametrize("line", [b"[1]\n", b"{\n", b"\xff\n", b"[" * 100_000 + b"\n"])
def test_a_line_that_is_no_object_is_refused(line: bytes) -> None:
    reader = ArchiveReader(archive(line))
    reader.verify()
    with pytest.raises(BadArchive, match="has a line that is no"):
        list(reader.lines(DOCUMENTS))


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{}", b"[" * 100_000])
def test_a_manifest_that_is_none(manifest: bytes) -> None:
    with pytest.raises(BadArchive):
        ArchiveReader(archive(manifest=manifest))


def test_an_encrypted_zip_is_no_archive() -> None:
    data = bytearray(archive().getvalue())
    for head, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.rindex(head)  # the manifest is the last one
        data[at + flags] |= 1
    with pytest.raises(BadArchive, match="encrypted"):
        ArchiveReader(io.BytesIO(data))
