"""The bot without Docker and without data: everything that it does goes through the service."""

import asyncio
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bot.chat import Chat
from bot.opening import open_sandglass
from bot.services import open_services
from bot.settings import BotSettings
from orchestrator import RemoteOrchestrator, Settings, open_orchestrator
from orchestrator.errors import ServiceUnavailable
from orchestrator.http.serve import bind, serving

TOKEN = "t" * 32


@pytest.fixture
def ours(data_dir: Path) -> Settings:
    """The service's settings."""
    return Settings.load(data_dir=data_dir)


async def test_a_conversation_runs_code_and_keeps_files_through_the_service(
    ours: Settings, tmp_path: Path
) -> None:
    """Run, list, upload, save: as in one process; the bot's directory holds its own database alone."""
    of_the_bot = tmp_path / "bot"
    of_the_bot.mkdir()
    (tmp_path / "up.txt").write_text("up")
    shown = io.StringIO()
    async with (
        open_orchestrator(ours) as orchestrator,
        serving(orchestrator, bind("127.0.0.1", 0), TOKEN) as url,
    ):
        settings = await asyncio.to_thread(BotSettings.load, url=url, http_token=TOKEN)
        elsewhere = ours.model_copy(update={"data_dir": of_the_bot, "docker_host": "unix:///nowhere"})
        async with (
            open_sandglass(settings, elsewhere, serving=True) as sandglass,
            open_services(settings, sandglass, of_the_bot) as services,
        ):
            assert isinstance(sandglass, RemoteOrchestrator)
            chat = Chat(services, Console(file=shown, width=200, force_terminal=False))
            await chat.say("/run print(6 * 7); open('made.txt', 'w').write('by code')")
            await chat.say(f"/upload {tmp_path / 'up.txt'}")
            await chat.say("/files")
            await chat.say(f"/save made.txt {tmp_path / 'saved.txt'}")
    said = shown.getvalue()
    assert "42" in said
    assert said.count("made.txt") >= 2
    assert "up.txt" in said
    assert (tmp_path / "saved.txt").read_text() == "by code"
    assert {path.name.partition("-")[0] for path in of_the_bot.iterdir()} == {"bot.sqlite3"}


async def test_without_its_service_the_bot_says_so(ours: Settings) -> None:
    """One sentence with the setting to correct, before anything is told to Discord."""
    settings = await asyncio.to_thread(BotSettings.load, url="http://127.0.0.1:9", http_token=TOKEN)
    with pytest.raises(ServiceUnavailable, match="SANDGLASS_URL"):
        async with open_sandglass(settings, ours):
            pass


def test_the_check_of_a_bot_without_docker_asks_the_service(tmp_path: Path) -> None:
    """No service: exit code 3 and its sentence, nothing of an engine, and the other parts are asked too."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SANDGLASS_")}
    done = subprocess.run(
        [sys.executable, "-m", "bot", "--check"],
        cwd=Path(__file__).parents[2],
        env=clean
        | {"SANDGLASS_URL": "http://127.0.0.1:9", "DOCKER_HOST": "unix:///nowhere", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (3, "")
    sandbox, *others = done.stdout.splitlines()
    assert sandbox.startswith("FAIL sandbox: ")
    assert "correct SANDGLASS_URL" in sandbox
    assert {"store", "model", "discord"} <= {line.split()[1].lower().rstrip(":") for line in others}
