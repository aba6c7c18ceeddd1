"""The documents say what the code does: an undocumented setting or command fails here."""

import re
import subprocess
from pathlib import Path

import pytest

from bot.settings import BotSettings
from orchestrator import Settings
from orchestrator.cli.__main__ import app

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_in_the_example_and_described(name: str) -> None:
    """`.env.example` names it, and the field says what it is for."""
    assert f"SANDGLASS_{name.upper()}=" in (ROOT / ".env.example").read_text()
    assert Settings.model_fields[name].description


OTHERS = {"discord_token", "openai_api_key", "openai_base_url"}
"""Names that Discord's and OpenAI's users know already."""


@pytest.mark.parametrize("name", sorted(BotSettings.model_fields))
def test_every_setting_of_the_bot_is_in_the_example(name: str) -> None:
    """Under its own prefix, or under the name that others gave it."""
    variable = name.upper() if name in OTHERS else f"SANDGLASS_{name.upper()}"
    assert f"{variable}=" in (ROOT / ".env.example").read_text()
    assert BotSettings.model_fields[name].description


def test_every_command_is_in_the_readme_or_the_changelog() -> None:
    """A command that nobody is told of does not exist."""
    told = (ROOT / "README.md").read_text() + (ROOT / "CHANGELOG.md").read_text()
    names = set()
    for command in app.registered_commands:
        assert command.name is not None
        names.add(command.name)
    names |= {str(group.name) for group in app.registered_groups}
    assert len(names) > 10
    assert {name for name in names if name not in told} == set()


def test_the_readme_starts_with_the_two_commands() -> None:
    """The first two commands that anybody reads are the ones that need nothing done by hand."""
    commands = re.findall(r"^(make \S+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands[:2] == ["make demo", "make test"]


def test_ci_calls_the_test_command_of_the_readme() -> None:
    """What a reader types is what CI runs."""
    assert "make" in (ROOT / ".ci" / "run").read_text()
    assert re.search(r"\btest\b", (ROOT / ".ci" / "run").read_text())


def test_no_committed_file_names_a_registry_or_carries_a_download_address() -> None:
    """Locks hold hashes and no addresses; nothing says where one particular machine finds its packages."""
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "uv.lock" not in tracked
    for name in tracked:
        if Path(name).suffix in {".txt", ".lock", ".toml", ".in"} or Path(name).name == "Dockerfile":
            text = (ROOT / name).read_text()
            assert "--index-url" not in text, name
            assert not re.search(r"^https?://|@ https?://", text, re.MULTILINE), name
