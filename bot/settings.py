"""The bot's own settings, read from the environment once, by whoever starts it."""

from pathlib import Path
from typing import Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class SetupError(Exception):
    """The bot cannot start as it is configured; `str(error)` is one sentence with the remedy."""


class BotSettings(BaseSettings):
    """`SANDGLASS_<NAME>`, and three names that others made; sizes in bytes, times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="SANDGLASS_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True
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
    openai_models: tuple[str, ...] = Field((), description="Further models that /model offers (JSON list).")
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
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Read the environment; a malformed value raises `SetupError` naming its variable."""
        try:
            return cls(**overrides)  # type: ignore[arg-type]  # pydantic validates what mypy cannot see
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            name = str(first["loc"][0]).upper() if first["loc"] else "a setting"
            known = name.startswith(("DISCORD_", "OPENAI_BASE", "OPENAI_API_KEY"))
            raise SetupError(
                f"{name if known else 'SANDGLASS_' + name} is not usable ({first['msg']}): "
                "correct it and start again."
            ) from None

    @property
    def has_model(self) -> bool:
        """True where something was said about which model to ask."""
        return self.openai_api_key is not None or self.openai_base_url is not None

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that a user may choose, the default first."""
        return tuple(dict.fromkeys((self.openai_model, *self.openai_models)))
