"""``draftsync token``: a token to try things with."""

from __future__ import annotations

from typing import Annotated

import typer

from auth.tokens import mint
from sync.cli import options, screen


def token(
    sub: Annotated[str, typer.Option(help="Whom the token is for.")],
    config: options.Config = None,
    name: Annotated[str | None, typer.Option(help="Their name, for people to read.")] = None,
    doc: Annotated[
        list[str] | None, typer.Option(help="Grant, PATTERN=read or =write; repeatable.")
    ] = None,
    session: Annotated[
        list[str] | None,
        typer.Option(help="Grant, PATTERN=observe, =join or =lead; repeatable."),
    ] = None,
    role: Annotated[str | None, typer.Option(help="admin may do everything.")] = None,
    ttl: Annotated[float, typer.Option(help="Seconds that it holds.")] = 3600,
    jwt_secret: Annotated[
        str | None, typer.Option(help="Shared secret (better: environment).")
    ] = None,
    jwt_audience: Annotated[str | None, typer.Option(help="[default: draftsync]")] = None,
    jwt_issuer: Annotated[str | None, typer.Option(help="The token's iss.")] = None,
    json_output: options.Json = False,
) -> None:
    """Print a token, signed with the shared secret.

    For example: draftsync token --sub alice --doc 'drafts/*=write' --ttl 3600
    """
    settings = options.settings(
        config, jwt_secret=jwt_secret, jwt_audience=jwt_audience, jwt_issuer=jwt_issuer
    )
    if settings.jwt_secret is None:
        options.usage_error("a shared secret is needed: set DRAFTSYNC_JWT_SECRET or --jwt-secret")
    try:
        minted = mint(
            settings.jwt_secret.get_secret_value(),
            subject=sub,
            name=name,
            role=role,
            documents=_grants(doc, "--doc"),
            sessions=_grants(session, "--session"),
            ttl=ttl,
            audience=settings.jwt_audience,
            issuer=settings.jwt_issuer,
            max_ttl=settings.max_token_ttl,
        )
    except ValueError as error:
        options.usage_error(str(error))
    if json_output:
        screen.echo_json({"token": minted})
    else:
        screen.say(minted)


def _grants(given: list[str] | None, option: str) -> dict[str, str] | None:
    """``PATTERN=level`` pairs; the pattern may itself hold '='."""
    if not given:
        return None
    grants = {}
    for each in given:
        pattern, equals, level = each.rpartition("=")
        if not equals or not pattern:
            options.usage_error(f"{option} {each}: expected PATTERN=level, such as 'drafts/*=read'")
        grants[pattern] = level
    return grants
