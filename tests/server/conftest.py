"""What the tests of the server share."""

from __future__ import annotations

import datetime
import gc
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sync.server import connection, draft_answers, status
from tests.server import service


@pytest.fixture(autouse=True)
def nobody_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what the machine does beside the tests no message costs its sender a wait, no draft is
    left out of a status, and none is told as it was."""
    monkeypatch.setattr(connection, "SLOW_SECONDS", 3_600.0)
    monkeypatch.setattr(draft_answers, "SLOW_SECONDS", 3_600.0)
    monkeypatch.setattr(status, "SLOW_SECONDS", 3_600.0)
    monkeypatch.setattr(status, "READ_SECONDS", 30.0)


@pytest.fixture
def uncollected() -> Iterator[None]:
    """To look through what a thousand tests left is no work of the service, whose time is taken."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(params=["picows", "hypercorn"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test once with each: whoever connects must not notice a difference."""
    name: str = request.param
    monkeypatch.setattr(service, "TRANSPORT", name)
    return name


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, Path]:
    """A certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "draftsync")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    paths = {"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"}
    paths["tls_cert"].write_bytes(signed.public_bytes(encoding))
    paths["tls_key"].write_bytes(key.private_bytes(encoding, pem, serialization.NoEncryption()))
    return paths
