from __future__ import annotations

import pickle

import pytest

from auth.errors import (
    REASON_BYTES,
    AuthError,
    KeysUnavailable,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
    TokenRevoked,
    TooManyTickets,
)


@pytest.mark.parametrize(
    ("error", "close_code", "http_status"),
    [
        (AuthError("no"), 4401, 401),
        (TokenMissing(), 4401, 401),
        (TokenInvalid("sub must be a string"), 4401, 401),
        (TokenExpired(), 4401, 401),
        (TokenRevoked(), 4401, 401),
        (TooManyTickets(), 1013, 429),
        (KeysUnavailable(), 1013, 503),
    ],
)
def test_an_error_knows_its_answer(error: AuthError, close_code: int, http_status: int) -> None:
    assert (error.close_code, error.http_status) == (close_code, http_status)
    assert isinstance(error, AuthError)
    assert str(error) == error.reason
    assert len(error.reason.encode()) <= REASON_BYTES


def test_clients_recognise_expiry_by_the_first_word() -> None:
    assert TokenExpired().reason.startswith("token-expired")
    assert not TokenRevoked().reason.startswith("token-expired")


@pytest.mark.parametrize("error", [TokenMissing(), TokenInvalid("why"), KeysUnavailable()])
def test_an_error_survives_pickling(error: AuthError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.reason) == (type(error), error.reason)
