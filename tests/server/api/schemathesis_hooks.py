"""Loaded by Schemathesis itself: see :mod:`tests.server.api.test_schemathesis`."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import schemathesis

KEY = "Idempotency-Key"


@schemathesis.hook
def before_call(context: Any, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
    """Another request has another key: the same one for another body is refused, and rightly."""
    if case.headers and re.fullmatch("[!-~]{1,200}", str(case.headers.get(KEY, ""))):
        asked = repr((case.path, case.path_parameters, case.body)).encode()
        case.headers[KEY] = hashlib.sha256(asked).hexdigest()
