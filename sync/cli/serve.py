"""``draftsync serve``: its options."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated

import typer

from sync.cli import options


def serve(
    config: options.Config = None,
    host: Annotated[str | None, typer.Option(help="Address [default: 127.0.0.1].")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 takes a free one [default: 3001].")
    ] = None,
    transport: Annotated[
        str | None,
        typer.Option(help="Of WebSockets: picows, or hypercorn for all [default: picows]."),
    ] = None,
    database: options.Database = None,
    durability: Annotated[
        str | None,
        typer.Option(
            help="full: what is saved survives power loss. normal: it survives the death of the "
            "process [default: full]."
        ),
    ] = None,
    jwt_secret: Annotated[
        str | None, typer.Option(help="Shared secret, 32 bytes or more (better: environment).")
    ] = None,
    jwt_public_key: Annotated[
        Path | None, typer.Option(help="PEM file: RSA, EC P-256 or Ed25519.")
    ] = None,
    jwks_url: Annotated[str | None, typer.Option(help="Where the issuer's keys are.")] = None,
    jwt_audience: Annotated[
        str | None, typer.Option(help="What tokens' aud must be [default: draftsync].")
    ] = None,
    jwt_issuer: Annotated[str | None, typer.Option(help="What tokens' iss must be.")] = None,
    max_token_ttl: Annotated[
        float | None, typer.Option(help="Longest life of a token, seconds [default: 30 days].")
    ] = None,
    webhook: Annotated[
        list[str] | None,
        typer.Option(help="URL that sessions' events are sent to, signed; repeatable."),
    ] = None,
    webhook_secret: Annotated[
        str | None,
        typer.Option(help="whsec_ and base64, to sign them with (better: environment)."),
    ] = None,
    webhook_attempts: Annotated[
        int | None, typer.Option(help="Until an event is a dead letter [default: 12].")
    ] = None,
    message_rate: Annotated[
        float | None,
        typer.Option(help="Messages a second per connection; 0: any number [default: 500]."),
    ] = None,
    message_burst: Annotated[
        float | None, typer.Option(help="Messages ahead of that rate [default: 5000].")
    ] = None,
    document_limit: Annotated[
        int | None, typer.Option(help="Bytes of a document [default: 16777216].")
    ] = None,
    message_limit: Annotated[
        int | None, typer.Option(help="Bytes of a message but a step2 [default: 1048576].")
    ] = None,
    connections_per_subject: Annotated[
        int | None, typer.Option(help="Connections of one person [default: 64].")
    ] = None,
    unload_seconds: Annotated[
        float | None, typer.Option(help="Until an idle room is unloaded [default: 30].")
    ] = None,
    snapshot_tail: Annotated[
        int | None, typer.Option(help="Edits until a pause brings a snapshot [default: 500].")
    ] = None,
    history_seconds: Annotated[
        float | None,
        typer.Option(help="How long what a snapshot contains is kept as history [default: ever]."),
    ] = None,
    event_seconds: Annotated[
        float | None, typer.Option(help="How long sessions' events are kept [default: ever].")
    ] = None,
    memory_limit: Annotated[
        int | None,
        typer.Option(help="Bytes of address space; 0: any number [default: 8589934592]."),
    ] = None,
    drain_seconds: Annotated[
        float | None, typer.Option(help="Longest time to stop in [default: 10].")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM private key.")] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="Origin of pages that may connect; repeatable.")
    ] = None,
    web: Annotated[
        Path | None,
        typer.Option(help="Directory of a built web app, to serve at / [default: none]."),
    ] = None,
    metrics_bind: Annotated[
        str | None,
        typer.Option(help="HOST:PORT for /metrics, and only there [default: where everything is]."),
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="text or json [default: text].")] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error [default: info].")
    ] = None,
) -> None:
    """Run the service.

    Every option is also an environment variable, DRAFTSYNC_<OPTION>, and a key of draftsync.toml.

    For example: draftsync serve --database draftsync.db --port 3001
    """
    given = {name: value for name, value in locals().items() if name != "config"}
    for several in ("allow_origin", "webhook"):
        if not given[several]:
            del given[several]
    settings = options.settings(config, **given)
    gc.disable()  # a quarter of the time that the imports take; serving.run enables it again
    from sync.cli.running import run  # the server takes a second to import; others need none of it

    run(settings)
