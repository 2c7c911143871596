"""What the tests of the server share."""

from __future__ import annotations

import pytest

from tests.server import service


@pytest.fixture(params=["picows", "hypercorn"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test once with each: whoever connects must not notice a difference."""
    name: str = request.param
    monkeypatch.setattr(service, "TRANSPORT", name)
    return name
