"""Which store, which keys: settings made into parts."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from auth.keys import KeySet, KeySource, PublicKey, SharedSecret
from auth.tokens import TokenVerifier
from persistence.sqlite import SqliteReader, SqliteStore, open_sqlite, open_sqlite_readonly
from sync.server.settings import Settings

NO_KEY = (
    "no key to check tokens with, and the service never runs open: give one of\n"
    "  --jwt-secret or DRAFTSYNC_JWT_SECRET (32 bytes or more; make one with"
    " 'openssl rand -hex 32'),\n"
    "  --jwt-public-key FILE (PEM), or --jwks-url URL"
)


class BadSettings(Exception):
    """The settings do not make a service; the text says what to do."""


def key_source(settings: Settings) -> KeySource:
    """The keys that tokens are checked with. Raises BadSettings."""
    given = [settings.jwt_secret, settings.jwt_public_key, settings.jwks_url]
    if not any(given):
        raise BadSettings(NO_KEY)
    if sum(each is not None for each in given) > 1:
        raise BadSettings("give one of --jwt-secret, --jwt-public-key and --jwks-url, not several")
    try:
        if settings.jwt_secret is not None:
            return SharedSecret(settings.jwt_secret.get_secret_value())
        if settings.jwt_public_key is not None:
            return PublicKey(settings.jwt_public_key.read_bytes())
        return KeySet(settings.jwks_url or "")
    except (ValueError, OSError) as error:
        raise BadSettings(str(error)) from error


def verifier(settings: Settings, keys: KeySource) -> TokenVerifier:
    """Raises BadSettings."""
    try:
        return TokenVerifier(
            keys,
            audience=settings.jwt_audience,
            issuer=settings.jwt_issuer,
            max_ttl=settings.max_token_ttl,
        )
    except ValueError as error:
        raise BadSettings(str(error)) from error


def open_store(settings: Settings) -> AbstractAsyncContextManager[SqliteStore]:
    """The store to serve from."""
    return open_sqlite(settings.database, settings.durability)


def open_reader(settings: Settings) -> AbstractAsyncContextManager[SqliteReader]:
    """The database to look into, beside a live service or without one."""
    return open_sqlite_readonly(settings.database)
