"""Every setting of the orchestrator, read from `SANDGLASS_*` once, by whoever opens it."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from orchestrator.domain.limits import GIB, MB, MIB, Limits
from orchestrator.errors import ConfigurationError


def _default_data_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/sandglass")
    return Path.home() / ".local" / "share" / "sandglass"


class Settings(BaseSettings):
    """`SANDGLASS_<NAME>` in the environment or in `.env`; sizes in bytes, times in seconds unless named."""

    model_config = SettingsConfigDict(env_prefix="SANDGLASS_", env_file=".env", extra="ignore", frozen=True)

    data_dir: Path = Field(
        default_factory=_default_data_dir, description="Index, blobs, workspaces and staging."
    )
    docker_host: str | None = Field(
        None, description="Address of the Docker Engine; the client's default if unset."
    )
    image: str = Field(
        "sandglass-sandbox:latest", description="The sandbox image; pinned by digest at start-up."
    )
    runtime: Literal["runc", "runsc"] = Field(
        "runc", description="The engine's runtime; never a silent fallback."
    )
    file_ttl_hours: float = Field(
        48, allow_inf_nan=False, description="Lifetime of stored files; -1 means for ever."
    )
    max_file_bytes: int = Field(50 * MB, gt=0, description="Largest stored file, uploaded or generated.")
    workspace_bytes: int = Field(
        GIB, ge=MIB, description="What one owner's workspace may hold; past it the program is ended."
    )
    workspace_inodes: int = Field(
        20_000, ge=100, description="Files and directories that one owner's workspace may hold."
    )
    workspace_backend: Literal["directory", "loop"] = Field(
        "directory",
        description="What new owners get: a directory, or an ext4 image that the kernel bounds (needs root).",
    )
    sweep_interval: float = Field(
        3600, gt=0, allow_inf_nan=False, description="Seconds between sweeps of expired files."
    )
    uid_base: int = Field(700_000, ge=100_000, lt=2**31 - 2**20, description="First uid handed to an owner.")
    memory: int = Field(GIB, ge=64 * MIB, description="Memory of one execution; swap is off.")
    cpus: float = Field(1.0, ge=0.01, allow_inf_nan=False, description="Processors of one execution.")
    pids: int = Field(128, ge=8, description="Processes and threads of one execution.")
    timeout: float = Field(
        60, gt=0, allow_inf_nan=False, description="Wall time of one execution where the caller names none."
    )
    max_timeout: float = Field(
        300, gt=0, allow_inf_nan=False, description="Longest wall time that a caller may ask for."
    )
    slots: int = Field(0, ge=0, description="Executions at once; 0 means by cores.")
    total_memory: int = Field(
        0, ge=0, description="Memory of all executions and standbys together; 0 means 80 % of the host's."
    )
    queue_limit: int = Field(100, ge=0, description="Executions that may wait before new ones are refused.")
    rate_per_minute: int = Field(
        120, ge=0, description="Executions that one owner may start in a minute; 0 means any number."
    )
    max_inputs: int = Field(1000, gt=0, description="Files staged for one execution, newest first.")
    lease_seconds: float = Field(
        30,
        gt=1,
        allow_inf_nan=False,
        description="A lease not renewed for this long marks its execution lost.",
    )
    disk_reserve: int = Field(
        GIB, ge=0, description="Free bytes of the data disk below which nothing new starts."
    )
    attest: bool = Field(
        True, description="Attack this host before the first execution on it, and refuse if it gives way."
    )
    public_url: str | None = Field(
        None, description="Address under which the service is reached from outside; unset means no links."
    )
    standby_count: int = Field(8, ge=0, description="Most standbys that wait at once; 0 means none.")
    standby_memory: int = Field(
        0, ge=0, description="Memory of all standbys by their limits; 0 means a quarter of the host's."
    )
    standby_idle: float = Field(
        300, gt=0, allow_inf_nan=False, description="Seconds after which a standby that nobody wants goes."
    )
    standby_after_run: bool = Field(
        True, description="Make a standby for the owner after each execution, in a process that stays."
    )
    http_token: SecretStr | None = Field(
        None, description="What callers of the HTTP service must show; `openssl rand -hex 32` makes one."
    )
    keep_containers: bool = Field(False, description="Leave dead containers for a post-mortem.")

    @field_validator("public_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if not value:
            return None
        if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
            raise ValueError("must be like https://files.example.org, without a query")
        return value

    @field_validator("http_token")
    @classmethod
    def _token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not re.fullmatch(r"[\x21-\x7e]{24,512}", value.get_secret_value()):
            raise ValueError(
                "must be 24 to 512 visible ASCII characters: make one with `openssl rand -hex 32`"
            )
        return value

    @field_validator("file_ttl_hours")
    @classmethod
    def _lifetime(cls, value: float) -> float:
        if value != -1 and value <= 0:
            raise ValueError("must be positive, or -1 for files that never expire")
        return value

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Read the environment; a malformed value raises `ConfigurationError` naming its variable."""
        try:
            return cls(**overrides)  # type: ignore[arg-type]  # pydantic validates what mypy cannot see
        except ValidationError as error:
            first = error.errors()[0]
            name = "SANDGLASS_" + "_".join(str(part) for part in first["loc"]).upper()
            raise ConfigurationError(
                f"{name} is not usable ({first['msg']}): correct it and start again."
            ) from error

    @property
    def ttl(self) -> timedelta | None:
        """Lifetime of a stored file; None means for ever."""
        return None if self.file_ttl_hours == -1 else timedelta(hours=self.file_ttl_hours)

    def limits(self, timeout: float | None = None) -> Limits:
        """The bounds of one execution."""
        return Limits(
            memory=self.memory,
            cpus=self.cpus,
            pids=self.pids,
            wall_seconds=self.timeout if timeout is None else timeout,
            file_bytes=self.max_file_bytes,
            workspace_bytes=self.workspace_bytes,
            workspace_inodes=self.workspace_inodes,
        )
