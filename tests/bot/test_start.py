"""Starting, staying connected, being checked; and the same conversation in a terminal."""

import asyncio
import base64
import io
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bot import terminal
from bot.chat import Chat
from bot.check import Finding, findings
from bot.client import SandglassClient
from bot.services import open_services
from bot.settings import BotSettings, SetupError
from bot.supervise import keep_connected
from bot.turns import Turns
from orchestrator import Settings, open_orchestrator
from tests.discord.model import LocalModel, call, say
from tests.discord.server import LocalDiscord


async def checked(settings: BotSettings, data_dir: Path) -> dict[str, Finding]:
    """What the check finds, by part."""
    ours = await asyncio.to_thread(Settings.load, data_dir=data_dir)
    async with (
        open_orchestrator(ours) as orchestrator,
        open_services(settings, orchestrator, ours.data_dir) as services,
    ):
        return {found.part: found async for found in findings(services)}


async def test_the_check_asks_every_part(discord: LocalDiscord, model: LocalModel, data_dir: Path) -> None:
    """All well; a wrong key, a wrong token and an unknown model are each named with the remedy."""
    good = {
        "discord_token": discord.token,
        "openai_api_key": model.api_key,
        "openai_base_url": model.base_url,
        "openai_model": "local-large",
    }
    settings = await asyncio.to_thread(BotSettings.load, **good)
    assert all(found.good for found in (await checked(settings, data_dir)).values())
    wrong = {**good, "discord_token": "nonsense", "openai_api_key": "wrong"}
    settings = await asyncio.to_thread(BotSettings.load, **wrong)
    found = await checked(settings, data_dir)
    assert "DISCORD_TOKEN" in found["discord"].sentence
    assert "OPENAI_API_KEY" in found["model"].sentence
    settings = await asyncio.to_thread(BotSettings.load, **{**good, "openai_model": "imaginary"})
    assert "SANDGLASS_OPENAI_MODEL" in (await checked(settings, data_dir))["model"].sentence


async def test_a_refused_gateway_and_a_lost_session_are_outlived(
    discord: LocalDiscord, model: LocalModel, data_dir: Path
) -> None:
    """A new client each time; the next question is answered."""
    settings = await asyncio.to_thread(
        BotSettings.load,
        openai_api_key=model.api_key,
        openai_base_url=model.base_url,
        openai_model="local-large",
    )
    ours = await asyncio.to_thread(Settings.load, data_dir=data_dir)
    discord.refuse_gateway(2)
    model.script([say("I am here.")])
    turns = Turns()
    async with (
        open_orchestrator(ours) as orchestrator,
        open_services(settings, orchestrator, ours.data_dir) as services,
    ):
        watch = asyncio.create_task(
            keep_connected(
                lambda: SandglassClient(services, turns, guild_ready_timeout=0.05),
                discord.token,
                first_wait=0.05,
            )
        )
        try:
            await discord.connected(20)
            await discord.user("alice").ask(discord.general, "are you there?")
            await discord.general.wait_for(lambda m: "I am here." in m.content and not m.components, 30)
        finally:
            await turns.close()
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


@pytest.mark.parametrize("fault", ["token", "intent"])
async def test_what_only_the_operator_can_mend_ends_the_watch(
    discord: LocalDiscord, data_dir: Path, fault: str
) -> None:
    """One sentence each, no second attempt."""
    if fault == "intent":
        discord.withhold_intent()
    token = discord.token if fault == "intent" else "nonsense"
    settings = await asyncio.to_thread(BotSettings.load)
    ours = await asyncio.to_thread(Settings.load, data_dir=data_dir)
    async with (
        open_orchestrator(ours) as orchestrator,
        open_services(settings, orchestrator, ours.data_dir) as services,
    ):
        with pytest.raises(SetupError, match="DISCORD_TOKEN" if fault == "token" else "Message Content"):
            await keep_connected(lambda: SandglassClient(services, Turns()), token, first_wait=0.05)


async def bot_process(data_dir: Path, *words: str, **environment: str) -> asyncio.subprocess.Process:
    """`python -m bot` as a process of its own, in an empty directory so that no .env is read."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("SANDGLASS_", "OPENAI_", "DISCORD_"))
    }
    root = str(Path(__file__).parents[2])
    kept |= {"SANDGLASS_DATA_DIR": str(data_dir), "PYTHONPATH": root, **environment}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        *words,
        env=kept,
        cwd=data_dir.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_without_a_token_it_says_what_to_set(data_dir: Path) -> None:
    """Exit code 2 and one sentence."""
    process = await bot_process(data_dir)
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert errors.decode().count("\n") == 1
    assert "DISCORD_TOKEN is not set" in errors.decode()


async def test_where_nothing_can_run_it_does_not_start(data_dir: Path) -> None:
    """Exit code 3 and one sentence, before Discord is asked anything."""
    host = f"unix://{data_dir}/no.sock"
    process = await bot_process(data_dir, DISCORD_TOKEN="none", SANDGLASS_DOCKER_HOST=host)
    _, errors = await process.communicate()
    assert process.returncode == 3
    assert errors.decode().count("\n") == 1
    assert "no.sock" in errors.decode()


async def test_the_whole_process_answers_and_ends_when_told(
    discord: LocalDiscord, model: LocalModel, data_dir: Path
) -> None:
    """From the environment alone to an answer; SIGTERM is exit 0; no token and no words in the log."""
    model.script([call("execute_python", {"code": "print(2**10)"}), say("It is 1024.")])
    process = await bot_process(
        data_dir,
        DISCORD_TOKEN=discord.token,
        SANDGLASS_DISCORD_API=discord.base,
        OPENAI_API_KEY=model.api_key,
        OPENAI_BASE_URL=model.base_url,
        SANDGLASS_OPENAI_MODEL="local-large",
    )
    try:
        await discord.connected(30)
        await discord.user("alice").ask(discord.general, "two to the ten, my dear confidant")
        await discord.general.wait_for(lambda m: "It is 1024." in m.content and not m.components, 60)
    finally:
        process.send_signal(signal.SIGTERM)
        output, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    logged = (output + errors).decode()
    for secret in (discord.token, model.api_key, "confidant", "2**10"):
        assert secret not in logged


async def chatted(
    settings: BotSettings, data_dir: Path, *lines: str, pictures: terminal.Protocol | None = None
) -> str:
    """What a terminal shows for these inputs."""
    ours = await asyncio.to_thread(Settings.load, data_dir=data_dir)
    shown = io.StringIO()
    console = Console(file=shown, width=200, force_terminal=False)
    async with (
        open_orchestrator(ours) as orchestrator,
        open_services(settings, orchestrator, ours.data_dir) as services,
    ):
        chat = Chat(services, console, pictures=pictures)
        for line in lines:
            assert await chat.say(line)
        assert not await chat.say("/quit")
    return shown.getvalue()


async def test_the_terminal_runs_code_without_any_model(data_dir: Path, tmp_path: Path) -> None:
    """/run, a fenced block, /upload, /files and /save."""
    source = tmp_path / "in.txt"
    source.write_text("stored")
    target = tmp_path / "out.txt"
    settings = await asyncio.to_thread(BotSettings.load)
    shown = await chatted(
        settings,
        data_dir,
        f"/upload {source}",
        "/run print(load_file('in.txt'), 6 * 7)",
        "```python\nopen('made.csv', 'w').write('1')\n```",
        "/files",
        f"/save in.txt {target}",
        "what is love?",
    )
    assert "stored 42" in shown
    assert "made.csv" in shown
    assert "No model is configured" in shown
    assert target.read_text() == "stored"


async def test_the_terminal_talks_to_a_model(model: LocalModel, data_dir: Path) -> None:
    """The same loop and the same memory as in Discord."""
    settings = await asyncio.to_thread(
        BotSettings.load,
        openai_api_key=model.api_key,
        openai_base_url=model.base_url,
        openai_model="local-large",
    )
    model.script([call("execute_python", {"code": "print(7 * 8)"}), say("It is **56**."), say("As I said.")])
    shown = await chatted(settings, data_dir, "seven times eight?", "again?")
    assert "56" in shown
    assert "As I said." in shown
    assert "seven times eight?" in model.requests[-1].everything


PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 4, 9])"


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"TERM_PROGRAM": "iTerm.app", "TMUX": "/tmp/x"}, None),
        ({"TERM": "dumb"}, None),
        ({"TERM": "xterm-256color"}, None),
    ],
)
def test_a_terminal_says_whether_it_shows_pictures(
    environment: dict[str, str], protocol: terminal.Protocol | None
) -> None:
    """By what it sets; where nothing is known, no escape is sent."""
    assert terminal.protocol_of(environment) == protocol


@pytest.mark.parametrize("protocol", ["kitty", "iterm", None])
async def test_the_terminal_shows_a_plot_where_it_can(
    data_dir: Path, tmp_path: Path, protocol: terminal.Protocol | None
) -> None:
    """The bytes of the very file, in the terminal's own form; elsewhere its name and how to get it."""
    settings = await asyncio.to_thread(BotSettings.load)
    target = tmp_path / "plot.png"
    shown = await chatted(
        settings, data_dir, f"/run {PLOT}", f"/save figure_1.png {target}", pictures=protocol
    )
    assert "figure_1.png · image" in shown
    assert "/save NAME" in shown
    pieces = {
        "kitty": re.findall(r"\x1b_G[^;]*;([A-Za-z0-9+/=]+)\x1b", shown),
        "iterm": re.findall(r"\x1b]1337;File=[^:]*:([A-Za-z0-9+/=]+)\x07", shown),
        None: [],
    }[protocol]
    drawn = base64.b64decode("".join(pieces))
    assert drawn == (target.read_bytes() if protocol else b"")
    assert ("\x1b_G" in shown or "\x1b]" in shown) == bool(protocol)


async def test_the_terminal_uploads_by_path(data_dir: Path, tmp_path: Path) -> None:
    """Several at once, with spaces, quoted as a terminal quotes what is dropped on it."""
    for name in ("a b.txt", "c.txt"):
        (tmp_path / name).write_text(name)
    settings = await asyncio.to_thread(BotSettings.load)
    line = f"/upload '{tmp_path}/a b.txt' {tmp_path}/c.txt {tmp_path}/none.txt"
    shown = await chatted(settings, data_dir, line, "/files")
    assert "a b.txt is stored as" in shown
    assert "c.txt is stored as" in shown
    assert "none.txt is no file" in shown
