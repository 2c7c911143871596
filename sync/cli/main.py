"""``draftsync``: the command.

To add a command, add a line to ``COMMANDS``: where its function is found. Options and help are made
of its signature and docstring, as Typer does.
"""

from __future__ import annotations

from sync.cli.lazy import lazy_app

COMMANDS = {
    "serve": "sync.cli.serve:serve",
    "token": "sync.cli.token:token",
    "docs": "sync.cli.docs:app",
    "forms": "sync.cli.forms:app",
    "sessions": "sync.cli.sessions:app",
    "webhooks": "sync.cli.webhooks:app",
    "revoke": "sync.cli.revoke:revoke",
    "backup": "sync.cli.backup:backup",
    "doctor": "sync.cli.doctor:doctor",
    "demo": "sync.cli.demo:demo",
}

app = lazy_app(
    "draftsync", COMMANDS, "Offline-first sync service for collaborative evaluation forms."
)


def main() -> None:
    """The console command."""
    app(prog_name="draftsync")


if __name__ == "__main__":
    main()
