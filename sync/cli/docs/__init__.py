"""``draftsync docs``: looking into the drafts and changing them, with the service up or down.

To add a command, add a line to ``COMMANDS``: where its function is found. Its module is imported
when it is used, so it may import what it likes; what several share is in
:mod:`sync.cli.docs.asked`.
"""

from __future__ import annotations

from sync.cli.lazy import lazy_app

COMMANDS = {
    "list": "sync.cli.docs.listing:list_documents",
    "show": "sync.cli.docs.showing:show",
    "history": "sync.cli.docs.history:history",
    "blame": "sync.cli.docs.blaming:blame",
    "diff": "sync.cli.docs.comparing:diff",
    "watch": "sync.cli.docs.watching:watch",
    "verify": "sync.cli.doctor:verify",
    "export": "sync.cli.exporting:export",
    "import": "sync.cli.importing:import_",
    "restore": "sync.cli.restoring:restore",
    "delete": "sync.cli.deleting:delete",
    "compact": "sync.cli.compacting:compact",
}

app = lazy_app("docs", COMMANDS, "Look into the drafts.")
