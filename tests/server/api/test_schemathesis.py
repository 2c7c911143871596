"""The service against its own OpenAPI document: nothing that it does not say, and never a 5xx.

Schemathesis makes requests from the document, such as it allows and such as it does not, follows
the links between operations, and holds every answer against what is described. The seed is fixed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import pytest
from pycrdt import Doc, Map, Text

from sync.server.api.document_names import EXAMPLE
from tests.support.service import ROOT, ServiceProcess

COMMAND = str(Path(sys.executable).with_name("schemathesis"))

# JSON Schema cannot say that ids are there once, and that a form's min is below its max; nor what a
# Yjs update or a state vector is. What a document was, administrators read though it is deleted.
CONFIG = """
[auth.openapi.bearer]
bearer = "${TOKEN}"

[[operations]]
include-operation-id = "createSession"
checks.positive_data_acceptance.expected-statuses = ["2xx", "4xx"]

[[operations]]
include-operation-id = ["updateDocument", "getDocumentUpdate"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "304", "4xx"]
checks.use_after_free.enabled = false

[[operations]]
include-operation-id = [
  "getDocument", "getDocumentAt", "getDocumentHistory", "getDocumentBlame", "getDocumentDiff"
]
checks.use_after_free.enabled = false
"""

ADMIN = {"role": "admin"}
LIMITED = {
    "sessions": {"refunds-*": "join", "r*": "observe", "0*": "lead"},
    "docs": {"drafts/refunds-7/*": "write", "drafts/refunds-7/refund-041": "read", "0*": "write"},
}

DRAFTS = ("drafts/refunds-7/refund-041", EXAMPLE, "0")
"""Documents that there are: the examples name the first two."""

OPTIONS = ("--checks", "all", "--seed", "1", "--warnings", "off", "--request-timeout", "20")


@pytest.mark.parametrize(
    ("claims", "phases", "examples"),
    [
        pytest.param(ADMIN, "examples,coverage,fuzzing,stateful", "6", id="administrator"),
        pytest.param(LIMITED, "examples,fuzzing", "8", id="limited"),
    ],
)
@pytest.mark.timeout(300)
@pytest.mark.long
async def test_the_service_is_as_it_is_described(
    tmp_path: Path, claims: dict[str, Any], phases: str, examples: str
) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    async with ServiceProcess(tmp_path / "drafts.db", "--log-level", "warning") as service:
        environment = os.environ | {
            "TOKEN": service.token("alice", **claims),
            "SCHEMATHESIS_HOOKS": "tests.server.api.schemathesis_hooks",
            "PYTHONPATH": str(ROOT),
        }
        await fill(service)
        described = f"{service.url}/openapi.json"
        extent = ("--phases", phases, "--max-examples", examples)
        ran = await anyio.run_process(
            [COMMAND, "--config-file", str(config), "run", described, *OPTIONS, *extent],
            check=False,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            env=environment,
        )
        await service.check()
    said = ran.stdout.decode()
    assert ran.returncode == 0, said[-8_000:]
    assert "Tested: " in said


async def fill(service: ServiceProcess) -> None:
    """Let some people write each of the documents, in turn."""
    async with httpx.AsyncClient(base_url=service.url) as http:
        for name in DRAFTS:
            doc: Doc[Any] = Doc()
            for n in range(6):
                before = doc.get_state()
                doc.get("ratings", type=Map)["bob/accuracy"] = n
                doc.get("comment/accuracy", type=Text).insert(0, f"{n} ")
                token = service.token(("bob", "carol")[n % 2], role="admin")
                answer = await http.post(
                    f"/api/v1/documents/{quote(name, safe='')}/update",
                    content=doc.get_update(before),
                    headers={
                        "Authorization": f"Bearer {token}",
                        "Content-Type": "application/octet-stream",
                    },
                )
                assert answer.status_code == 200, answer.text
