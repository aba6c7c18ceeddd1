"""Starting, staying connected, being checked."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

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
