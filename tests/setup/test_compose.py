"""Split mode as `compose.yaml` says it: who holds what, and what neither may do."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bot.settings import BotSettings
from orchestrator import Settings, open_orchestrator

ROOT = Path(__file__).parents[2]
TOKENS = {"DISCORD_TOKEN", "OPENAI_API_KEY"}


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    """The shipped defaults."""
    return Settings.load(data_dir=data_dir)


@pytest.fixture
async def services(settings: Settings) -> dict[str, Any]:
    """The services; a sandbox reads the YAML, as it would for any user."""
    async with open_orchestrator(settings, maintain=False) as orchestrator:
        await orchestrator.upload_file("u", ROOT / "compose.yaml", "compose.yaml")
        result = await orchestrator.execute_code(
            "import json; print(json.dumps(load_file('compose.yaml')))", "u"
        )
    assert result.success, result.error
    whole = json.loads(result.output)
    assert whole["networks"]["inner"] == {"internal": True}
    found: dict[str, Any] = whole["services"]
    return found


async def test_each_service_has_what_it_needs_and_neither_more(services: dict[str, Any]) -> None:
    """The socket and the data on one side, the tokens on the other; both confined; nothing published."""
    assert set(services) == {"orchestrator", "bot"}
    orchestrator, bot = services["orchestrator"], services["bot"]
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["pids_limit"]
        assert service["mem_limit"]
        assert not {"privileged", "ports", "network_mode", "pid", "ipc", "env_file"} & set(service)
        assert "SANDGLASS_HTTP_TOKEN:?" in service["environment"]["SANDGLASS_HTTP_TOKEN"]
    assert orchestrator["networks"] == ["inner"]
    assert not TOKENS & set(orchestrator["environment"])
    assert set(orchestrator["cap_add"]) == {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SYSLOG"}
    data = orchestrator["environment"]["SANDGLASS_DATA_DIR"]
    assert orchestrator["volumes"] == ["/var/run/docker.sock:/var/run/docker.sock", f"{data}:{data}"]
    assert bot["user"] == "65532:65532"
    assert bot["volumes"] == ["state:/state"]
    assert not {"cap_add", "devices"} & set(bot)
    assert bot["environment"]["SANDGLASS_URL"] == "http://orchestrator:8730"
    assert not {"SANDGLASS_DATA_DIR", "SANDGLASS_DOCKER_HOST"} & set(bot["environment"])
    assert set(bot["environment"]) >= TOKENS


async def test_every_setting_reaches_its_service(services: dict[str, Any]) -> None:
    """What somebody puts in `.env` is not silently without effect."""
    ours = {f"SANDGLASS_{name.upper()}" for name in Settings.model_fields}
    listed = set(services["orchestrator"]["environment"])
    assert listed == ours, "a new setting also needs its line in compose.yaml"
    others = {"discord_token", "openai_api_key", "openai_base_url"}
    bots = {
        name.upper() if name in others else f"SANDGLASS_{name.upper()}" for name in BotSettings.model_fields
    }
    listed = set(services["bot"]["environment"])
    assert listed == bots, "a new setting also needs its line in compose.yaml"


def test_the_images_have_what_the_services_are_told_to_run() -> None:
    """Both targets are there, the bot's without root, and nothing of the tree but code and locks goes in."""
    text = (ROOT / "orchestrator" / "Dockerfile").read_text()
    assert re.findall(r"^FROM sandglass AS (\w+)$", text, re.MULTILINE) == ["orchestrator", "bot"]
    assert text.rstrip().endswith('USER 65532:65532\nCMD ["bot"]')
    assert "--require-hashes" in text
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    assert ".env" not in " ".join(ignored[1:])
