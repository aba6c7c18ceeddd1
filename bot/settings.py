"""The bot's own settings, read from the environment once, by whoever starts it."""

import json
import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class SetupError(Exception):
    """The bot cannot start as it is configured; `str(error)` is one sentence with the remedy."""


class BotSettings(BaseSettings):
    """`SANDGLASS_<NAME>`, and three names that others made; sizes in bytes, times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="SANDGLASS_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    discord_token: SecretStr | None = Field(
        None, validation_alias=AliasChoices("discord_token", "DISCORD_TOKEN"), description="The bot's token."
    )
    openai_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("openai_api_key", "OPENAI_API_KEY"),
        description="Key of the model's server; without a key and an address there is no model.",
    )
    openai_base_url: str | None = Field(
        None,
        validation_alias=AliasChoices("openai_base_url", "OPENAI_BASE_URL"),
        description="Address of an OpenAI-compatible server.",
    )
    openai_model: str = Field("gpt-5-mini", description="The model that answers.")
    openai_models: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Further models that /model offers: names with commas, or a JSON list."
    )
    openai_api: Literal["responses", "chat"] = Field("responses", description="Which of OpenAI's two APIs.")
    openai_timeout: float = Field(120, gt=0, description="Longest silence of the model.")
    model_window: int = Field(100_000, ge=2_000, description="Tokens of conversation sent to the model.")
    model_sees: bool = Field(True, description="Whether pictures are shown to the model.")
    max_rounds: int = Field(8, ge=1, le=50, description="Rounds of the tool loop in one answer.")
    discord_api: str | None = Field(None, description="Discord's REST base address, where it is another.")
    bot_database: Path | None = Field(
        None, description="The bot's SQLite file; beside the orchestrator's data if unset."
    )
    url: str | None = Field(
        None, description="Address of an orchestrator's HTTP service; unset means one in this process."
    )
    http_token: SecretStr | None = Field(None, description="What that service wants to be shown.")
    policy: Path | None = Field(None, description="TOML file of admins, allow and block lists, budgets.")

    @field_validator(
        "discord_token",
        "openai_api_key",
        "openai_base_url",
        "url",
        "http_token",
        "bot_database",
        "policy",
        "discord_api",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("discord_token", "openai_api_key", "http_token")
    @classmethod
    def _one_word(cls, value: SecretStr | None) -> SecretStr | None:
        """What goes into a header: a blank or a line break came along from wherever it was copied."""
        if value is None or not (word := value.get_secret_value().strip()):
            return None
        if not re.fullmatch(r"[\x21-\x7e]+", word):
            raise ValueError("it has a blank, a line break or an odd character in it: copy it again")
        return SecretStr(word)

    @field_validator("openai_base_url", "discord_api")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and not (
            re.match(r"https?://[^\s]+$", value, re.IGNORECASE) and urlsplit(value).hostname
        ):
            raise ValueError("it must be like https://example.org/v1")
        return value

    @field_validator("openai_models", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return json.loads(value)
        return tuple(name for each in value.split(",") if (name := each.strip()))

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Read the environment; a malformed value raises `SetupError` naming its variable."""
        try:
            return cls(**overrides)  # type: ignore[arg-type]  # pydantic validates what mypy cannot see
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            name = str(first["loc"][0]).upper() if first["loc"] else "a setting"
            known = name in {"DISCORD_TOKEN", "OPENAI_BASE_URL", "OPENAI_API_KEY"}
            raise SetupError(
                f"{name if known else 'SANDGLASS_' + name} is not usable ({first['msg']}): "
                "correct it and start again."
            ) from None

    def store_path(self, data_dir: Path) -> Path:
        """Where the bot's own file is, beside the orchestrator's unless told otherwise."""
        return self.bot_database or data_dir / "bot.sqlite3"

    @property
    def has_model(self) -> bool:
        """True where something was said about which model to ask."""
        return self.openai_api_key is not None or self.openai_base_url is not None

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that a user may choose, the default first."""
        return tuple(dict.fromkeys((self.openai_model, *self.openai_models)))
