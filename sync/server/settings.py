"""Every setting of the service, in one place.

Precedence: command line, environment (``DRAFTSYNC_<NAME>``), ``draftsync.toml``, default.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from sync.core.webhook import (
    DEFAULT_KINDS,
    Webhook,
    checked_kind,
    checked_name,
    checked_url,
    name_of,
    signing_keys,
)

if TYPE_CHECKING:  # the hub and the library below it: commands that only look need none of it
    from sync.server.limits import HubLimits
    from sync.server.retention import Keep

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+):[0-9]{1,5}")


def _is_origin(origin: str) -> str:
    scheme, _, host = origin.partition("://")
    if scheme not in {"http", "https"} or not host or "/" in host:
        raise ValueError("an origin is scheme and host, such as https://app.example.org")
    return origin.lower()


def _is_webhook(url: SecretStr) -> SecretStr:
    checked_url(url.get_secret_value())
    return url


def _is_webhook_secret(secret: SecretStr) -> SecretStr:
    signing_keys(secret.get_secret_value())
    return secret


WebhookUrl = Annotated[SecretStr, AfterValidator(_is_webhook)]  # its query may hold a token
WebhookSecret = Annotated[SecretStr, AfterValidator(_is_webhook_secret)]


class WebhookSettings(BaseModel):
    """One ``[[webhooks]]`` of draftsync.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: WebhookUrl
    secret: WebhookSecret | None = None  # None: that of --webhook-secret
    kinds: tuple[Annotated[str, AfterValidator(checked_kind)], ...] = Field(
        default=DEFAULT_KINDS, min_length=1
    )
    name: str | None = None  # None: the address without its query

    def webhook(self, shared: SecretStr | None) -> Webhook:
        """Raises ValueError."""
        url, secret = self.url.get_secret_value(), self.secret or shared
        if secret is None:
            raise ValueError(
                "webhooks are signed: give --webhook-secret (better: DRAFTSYNC_WEBHOOK_SECRET), or "
                "a secret in [[webhooks]]"
            )
        name = checked_name(self.name or name_of(url))
        return Webhook(name, url, signing_keys(secret.get_secret_value()), self.kinds)


class Settings(BaseSettings):
    """The settings of ``draftsync serve``. Sizes are bytes, times seconds."""

    model_config = SettingsConfigDict(env_prefix="DRAFTSYNC_", extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(3001, ge=0, le=65535)
    transport: Literal["picows", "hypercorn"] = "picows"  # of WebSockets
    database: str = "draftsync.db"
    durability: Literal["full", "normal"] = "full"

    jwt_secret: SecretStr | None = None
    jwt_public_key: Path | None = None
    jwks_url: str | None = None
    jwt_audience: str = "draftsync"
    jwt_issuer: str | None = None
    max_token_ttl: float = Field(30 * 24 * 3600.0, gt=0)

    tls_cert: FilePath | None = None
    tls_key: FilePath | None = None
    allow_origin: Annotated[tuple[Annotated[str, AfterValidator(_is_origin)], ...], NoDecode] = ()

    webhook: Annotated[tuple[WebhookUrl, ...], NoDecode] = ()
    webhook_secret: WebhookSecret | None = None
    webhook_attempts: int = Field(12, ge=1)
    webhooks: tuple[WebhookSettings, ...] = ()

    web: Path | None = None  # directory of a built web app, served at /; None: only the API

    metrics_bind: str | None = None  # HOST:PORT; None: /metrics is where everything is

    message_rate: float = Field(500.0, ge=0)
    message_burst: float = Field(5_000.0, ge=1)
    message_limit: int = Field(2**20, ge=1024)
    document_limit: int = Field(16 * 2**20, ge=1024, le=16 * 2**20)
    connections_per_subject: int = Field(64, ge=1)
    unload_seconds: float = Field(30.0, ge=0)
    snapshot_tail: int = Field(500, ge=1)
    history_seconds: float | None = Field(None, ge=0)  # None: history is kept for ever
    event_seconds: float | None = Field(None, ge=0)  # None: events are kept for ever
    drain_seconds: float = Field(10.0, gt=0)
    memory_limit: int = Field(8 * 2**30, ge=0)  # address space of the process; 0: none

    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    url: str | None = None  # of the running service, for commands that ask it
    token: SecretStr | None = None  # for it

    @field_validator("allow_origin", "webhook", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """In the environment, several stand behind each other with commas between."""
        return [each for each in value.split(",") if each] if isinstance(value, str) else value

    @field_validator("database")
    @classmethod
    def _is_file(cls, value: str) -> str:
        if "://" in value:
            raise ValueError("this version stores in SQLite: give a path, such as draftsync.db")
        return value

    @field_validator("web")
    @classmethod
    def _is_built(cls, value: Path | None) -> Path | None:
        if value is not None and not (value / "index.html").is_file():
            raise ValueError(
                f"there is no index.html in {value}: give the directory that a build of the web "
                "app made, such as examples/webapp/dist ('make web' builds it)"
            )
        return value

    @model_validator(mode="after")
    def _whole_tls(self) -> Self:
        """With half of it, Hypercorn would serve in the clear."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("--tls-cert and --tls-key go together: give both, or neither")
        return self

    @model_validator(mode="after")
    def _distinct_webhooks(self) -> Self:
        names = [each.name for each in self.all_webhooks]
        if len(set(names)) < len(names):
            raise ValueError("two webhooks have the same address or name: give each its own name")
        return self

    @property
    def all_webhooks(self) -> tuple[Webhook, ...]:
        """Those of ``--webhook``, and those of ``[[webhooks]]``."""
        given = (*(WebhookSettings(url=url) for url in self.webhook), *self.webhooks)
        return tuple(each.webhook(self.webhook_secret) for each in given)

    @field_validator("metrics_bind")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None and not _ADDRESS.fullmatch(value):
            raise ValueError("an address is HOST:PORT, such as 127.0.0.1:9100 or [::1]:9100")
        return value

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Where metrics are served, if that is elsewhere."""
        if self.metrics_bind is None:
            return None
        host, _, port = self.metrics_bind.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def keep(self) -> Keep:
        from sync.server.retention import Keep

        return Keep(self.history_seconds, self.event_seconds)

    @property
    def hub_limits(self) -> HubLimits:
        from sync.core.room import RoomLimits
        from sync.server.limits import HubLimits

        return HubLimits(
            room=RoomLimits(document=self.document_limit),
            message=self.message_limit,
            connections_per_subject=self.connections_per_subject,
            message_rate=self.message_rate,
            message_burst=self.message_burst,
            unload_seconds=self.unload_seconds,
            snapshot_tail=self.snapshot_tail,
            last_snapshots=0.4 * self.drain_seconds,
            token_seconds=self.max_token_ttl,
        )


def load_settings(config: Path | None = None, **options: Any) -> Settings:
    """Read the settings; ``options`` come from the command line and win, None meaning 'not given'.

    Without ``config``, ``draftsync.toml`` of the working directory is read where there is one.
    Raises pydantic.ValidationError.
    """
    file = config or Path("draftsync.toml")

    class FromFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - not one of our sources
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - nor this one
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)

    return FromFile(**{name: value for name, value in options.items() if value is not None})
