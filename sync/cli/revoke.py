"""``draftsync revoke``: tokens that are not taken any more, though they have not expired."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from auth.claims import MAX_TEXT, is_text
from auth.revocation import Kind
from persistence.store import Store
from sync.cli import options, screen
from sync.cli.changing import change
from sync.cli.http import Service
from sync.server.revoking import revocation_json, revoked_now


def revoke(
    sub: Annotated[
        str | None, typer.Option("--sub", help="All tokens of this subject that there are so far.")
    ] = None,
    jti: Annotated[str | None, typer.Option("--jti", help="The one token of this id.")] = None,
    url: options.Url = None,
    token: options.Token = None,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Revoke one token, or all that somebody has.

    Their connections are closed within a second. What they sent before is kept, and so is, in their
    browser, what they did not send yet. A token that is made for them afterwards is good: whoever
    is to stay away must get none. It is done by the running service; where none runs on the
    database, and without --url, it is written directly, under the writer's lock.

    For example: draftsync revoke --sub mallory
    """
    settings = options.settings(config, database=database, url=url, token=token)
    kind, value = _named(sub, jti)

    async def through(service: Service) -> dict[str, Any]:
        told: dict[str, Any] = await service.post("revocations", body={kind: value})
        return told

    async def directly(store: Store) -> dict[str, Any]:
        revocation = revoked_now(kind, value, options.OPERATOR, settings.max_token_ttl)
        await store.revoke(revocation)
        return dict(revocation_json(revocation))

    told = change(settings, directly, through)
    if json_output:
        screen.echo_json(told)
    elif kind == "sub":
        screen.say(f"all tokens of {value} issued until {told['at']} are revoked")
    else:
        screen.say(f"the token {value} is revoked")


def _named(sub: str | None, jti: str | None) -> tuple[Kind, str]:
    """What is to be revoked. Ends the command with exit code 2 where that is not said."""
    if (sub is None) is (jti is None):
        options.usage_error(
            "expected one of the two: --sub SUBJECT (all tokens of somebody) or --jti ID (one)"
        )
    kind: Kind = "sub" if jti is None else "jti"
    value = sub if jti is None else jti
    if not is_text(value):
        options.usage_error(
            f"--{kind}: expected 1 to {MAX_TEXT} characters, none of them a control character"
        )
    return kind, value
