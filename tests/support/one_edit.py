"""Make one saved edit of drafts/42: python one_edit.py FILE-WITH-READY-LINE TOKEN."""

import sys
from pathlib import Path

import anyio
from pycrdt import Doc, Map

from sync.client import DocumentClient


async def main(address: str, token: str) -> None:
    doc: Doc[Map[str]] = Doc()
    async with DocumentClient(f"{address}/sync", "drafts/42", doc, token=token) as client:
        await client.synced()
        doc.get("form", type=Map)["verdict"] = "pass"
        await client.saved()


if __name__ == "__main__":
    ready = Path(sys.argv[1]).read_text()
    anyio.run(main, ready.split()[-1].replace("http", "ws", 1), sys.argv[2])
