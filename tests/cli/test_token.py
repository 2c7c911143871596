"""``draftsync token``: what it prints is what a server accepts."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import jwt
import pytest

from auth.access import Access
from auth.keys import SharedSecret
from auth.tokens import TokenVerifier
from tests.cli.conftest import SECRET, Run


@pytest.fixture(autouse=True)
def shared_secret(nobodys_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    monkeypatch.setenv("DRAFTSYNC_JWT_SECRET", SECRET)


def claims(token: str) -> dict[str, object]:
    decoded: dict[str, object] = jwt.decode(token, SECRET, ["HS256"], audience="draftsync")
    return decoded


async def test_a_server_of_the_same_secret_accepts_it(run: Run) -> None:
    grants = ("--doc", "drafts/*=write", "--doc", "drafts/a=b=read", "--session", "s1=join")
    minted = await anyio.to_thread.run_sync(
        run, "token", "--sub", "alice", "--name", "Alice", *grants
    )
    token = minted.stdout.strip()
    verifier = TokenVerifier(SharedSecret(SECRET), audience="draftsync")
    identity = await verifier.verify(token)
    assert (identity.subject, identity.name) == ("alice", "Alice")
    assert identity.document_access("drafts/42") is Access.WRITE
    assert identity.document_access("drafts/a=b") is Access.READ  # the last '=' parts them
    assert identity.document_access("other") is Access.NONE


def test_it_prints_the_token_and_nothing_else(run: Run) -> None:
    result = run("token", "--sub", "alice")
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) == 1
    assert result.stdout.count(".") == 2


def test_as_json(run: Run) -> None:
    result = run("token", "--sub", "alice", "--json", "--role", "admin", "--ttl", "60")
    found = claims(json.loads(result.stdout)["token"])
    assert found["role"] == "admin"
    assert isinstance(found["exp"], int)
    assert isinstance(found["iat"], float)  # to tell what was issued before a revocation
    assert 59 < found["exp"] - found["iat"] <= 60


def test_the_secret_comes_from_the_file_too(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DRAFTSYNC_JWT_SECRET")
    (tmp_path / "draftsync.toml").write_text(f'jwt_secret = "{SECRET}"\njwt_issuer = "me"\n')
    assert claims(run("token", "--sub", "alice").stdout.strip())["iss"] == "me"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--sub", "alice", "--doc", "drafts"), "PATTERN=level"),
        (("--sub", "alice", "--doc", "=read"), "PATTERN=level"),
        (("--sub", "alice", "--doc", "a*b=read"), "pattern"),
        (("--sub", "alice", "--doc", "a=own"), "read, write"),
        (("--sub", "alice", "--session", "a=own"), "observe, join, lead"),
        (("--sub", ""), "sub"),
        (("--sub", "alice", "--ttl", "0"), "ttl"),
        (("--sub", "alice", "--ttl", "1e9"), "ttl"),
        ((), "--sub"),
    ],
)
def test_what_no_server_would_accept_is_a_usage_error(
    run: Run, arguments: tuple[str, ...], says: str
) -> None:
    result = run("token", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


@pytest.mark.parametrize("given", [(), ("--jwt-secret", "too short a secret")])
def test_without_a_good_secret(
    run: Run, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...]
) -> None:
    monkeypatch.delenv("DRAFTSYNC_JWT_SECRET")
    result = run("token", "--sub", "alice", *given)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "secret" in result.stderr
    assert "too short a secret" not in result.stderr
