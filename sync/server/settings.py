"""Every setting of the service, in one place.

Precedence: command line, environment (``DRAFTSYNC_<NAME>``), ``draftsync.toml``, default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
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

from sync.core.room import RoomLimits
from sync.server.hub import HubLimits


def _is_origin(origin: str) -> str:
    scheme, _, host = origin.partition("://")
    if scheme not in {"http", "https"} or not host or "/" in host:
        raise ValueError("an origin is scheme and host, such as https://app.example.org")
    return origin.lower()


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

    message_rate: float = Field(500.0, ge=0)
    message_burst: float = Field(5_000.0, ge=1)
    message_limit: int = Field(2**20, ge=1024)
    document_limit: int = Field(16 * 2**20, ge=1024, le=16 * 2**20)
    connections_per_subject: int = Field(64, ge=1)
    unload_seconds: float = Field(30.0, ge=0)
    snapshot_tail: int = Field(500, ge=1)
    history_seconds: float | None = Field(None, ge=0)  # None: history is kept for ever
    drain_seconds: float = Field(10.0, gt=0)
    memory_limit: int = Field(8 * 2**30, ge=0)  # address space of the process; 0: none

    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("allow_origin", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        """In the environment, origins stand behind each other with commas between."""
        return [each for each in value.split(",") if each] if isinstance(value, str) else value

    @field_validator("database")
    @classmethod
    def _is_file(cls, value: str) -> str:
        if "://" in value:
            raise ValueError("this version stores in SQLite: give a path, such as draftsync.db")
        return value

    @model_validator(mode="after")
    def _whole_tls(self) -> Self:
        """With half of it, Hypercorn would serve in the clear."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("--tls-cert and --tls-key go together: give both, or neither")
        return self

    @property
    def hub_limits(self) -> HubLimits:
        return HubLimits(
            room=RoomLimits(document=self.document_limit),
            message=self.message_limit,
            connections_per_subject=self.connections_per_subject,
            message_rate=self.message_rate,
            message_burst=self.message_burst,
            unload_seconds=self.unload_seconds,
            snapshot_tail=self.snapshot_tail,
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
