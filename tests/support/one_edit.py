"""Make one saved edit of drafts/42: python one_edit.py FILE-WITH-READY-LINE TOKEN."""

import sys
from pathlib import Path

import anyio
from pycrdt import Doc, Map

from sync.client import DocumentClient


async def main(ready: str, token: str) -> None:
    address = Path(ready).read_text().split()[-1].replace("http", "ws", 1)
    doc: Doc[Map[str]] = Doc()
    async with DocumentClient(f"{address}/sync", "drafts/42", doc, token=token) as client:
        await client.synced()
        doc.get("form", type=Map)["verdict"] = "pass"
        await client.saved()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
