"""Every error knows its answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.core import errors
from sync.core.errors import (
    Deleted,
    DocumentTooLarge,
    DraftsyncError,
    Draining,
    Forbidden,
    IllegalStep,
    InternalError,
    InvalidEvent,
    InvalidName,
    InvalidSession,
    MalformedMessage,
    MessageTooLarge,
    NativeFailure,
    NotDeleted,
    Overloaded,
    ProtocolError,
    Sealed,
    UnknownDocument,
    UnknownSession,
    close_reason,
)

ANSWERS = [
    (MalformedMessage, 4400, 400),
    (InvalidName, 4400, 400),
    (InvalidSession, 4400, 422),
    (InvalidEvent, 4400, 422),
    (Forbidden, 4403, 403),
    (UnknownSession, 4404, 404),
    (Deleted, 4404, 404),
    (NotDeleted, 4409, 409),
    (Sealed, 4409, 409),
    (DocumentTooLarge, 4413, 413),
    (MessageTooLarge, 1009, 413),
    (InternalError, 1011, 500),
    (Draining, 1012, 503),
    (Overloaded, 1013, 503),
]


@pytest.mark.parametrize(("error", "code", "status"), ANSWERS)
def test_an_error_knows_its_close_code_and_status(
    error: type[ProtocolError], code: int, status: int
) -> None:
    raised = error("why")
    assert (raised.close_code, raised.http_status) == (code, status)
    assert raised.reason == raised.close_reason == str(raised) == "why"


def test_the_table_is_complete() -> None:
    assert {error for error, _, _ in ANSWERS} | {IllegalStep, UnknownDocument} == set(
        ProtocolError.__subclasses__()
    )


def test_an_unknown_document_is_named() -> None:
    refused = UnknownDocument("drafts/1")
    assert (refused.close_code, refused.http_status) == (4404, 404)
    assert "'drafts/1'" in refused.reason


def test_an_illegal_step_knows_those_that_are_open() -> None:
    refused = IllegalStep("why", ["join", "start"])
    assert (refused.close_code, refused.http_status) == (4409, 409)
    assert refused.open_steps == ("join", "start")


def test_the_drawn_tree_names_every_error() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type)]
    ours = [kind for kind in kinds if issubclass(kind, DraftsyncError)]
    assert errors.__doc__ is not None
    assert all(kind.__name__ in errors.__doc__ for kind in ours)
    assert all(str(code) in errors.__doc__ for _, code, _ in ANSWERS)


def test_a_native_failure_is_nobodys_verdict() -> None:
    assert not issubclass(NativeFailure, ProtocolError)


@given(st.text())
def test_a_close_reason_fits_its_frame(reason: str) -> None:
    short = close_reason(reason)
    assert len(short.encode()) <= 123
    assert reason.startswith(short)
    assert len(reason.encode()) > 119 or short == reason
