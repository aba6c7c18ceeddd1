"""Starting, staying connected, being checked."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import nextcord
import pytest
from aiohttp import web

from bot.check import Finding, findings
from bot.client import SandglassClient
from bot.connection import log_in
from bot.services import open_services
from bot.settings import BotSettings, SetupError
from bot.supervise import keep_connected
from bot.turns import Turns
from orchestrator import Settings, open_orchestrator
from tests.discord.model import LocalModel, call, say
from tests.discord.server import LocalDiscord
from tests.discord.server.world import CREATE_PUBLIC_THREADS, SEND_IN_THREADS


async def checked(settings: BotSettings, data_dir: Path) -> dict[str, Finding]:
    """What the check finds, by part."""
    ours = await asyncio.to_thread(Settings.load, data_dir=data_dir)
    return {found.part: found async for found in findings(settings, ours)}


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


async def test_the_check_sees_that_the_intent_is_off(discord: LocalDiscord, data_dir: Path) -> None:
    """The gateway would refuse us, though the login works."""
    settings = await asyncio.to_thread(BotSettings.load, discord_token=discord.token)
    assert (await checked(settings, data_dir))["discord"].good
    discord.withhold_intent()
    found = (await checked(settings, data_dir))["discord"]
    assert not found.good
    assert "Message Content intent is off" in found.sentence


async def test_no_part_hides_another(
    discord: LocalDiscord, model: LocalModel, data_dir: Path, tmp_path: Path
) -> None:
    """Without the orchestrator, the store and the policy the model and Discord are asked all the same."""
    policy = tmp_path / "policy.toml"
    await asyncio.to_thread(policy.write_bytes, b"# caf\xe9\n")
    settings = await asyncio.to_thread(
        BotSettings.load,
        url="http://127.0.0.1:9",
        bot_database=tmp_path / "none" / "bot.sqlite3",
        policy=policy,
        discord_token=discord.token,
        openai_api_key=model.api_key,
        openai_base_url=model.base_url,
        openai_model="local-large",
    )
    found = await checked(settings, data_dir)
    assert {part: each.good for part, each in found.items()} == {
        "sandbox": False,
        "store": False,
        "policy": False,
        "model": True,
        "discord": True,
    }
    assert "SANDGLASS_URL" in found["sandbox"].sentence
    assert "SANDGLASS_BOT_DATABASE" in found["store"].sentence
    assert "UTF-8" in found["policy"].sentence


async def test_a_budget_of_dollars_needs_prices(model: LocalModel, data_dir: Path, tmp_path: Path) -> None:
    """A model without one costs nothing, so the budget would never be used up."""
    policy = tmp_path / "policy.toml"
    await asyncio.to_thread(policy.write_text, "[budget.guild]\ndollars = 5\n")
    known = {"openai_api_key": model.api_key, "openai_base_url": model.base_url, "policy": policy}
    settings = await asyncio.to_thread(BotSettings.load, **known, openai_model="gpt-5-mini")
    assert (await checked(settings, data_dir))["policy"].good
    settings = await asyncio.to_thread(
        BotSettings.load, **known, openai_model="gpt-5-mini", openai_models=("local-large",)
    )
    found = (await checked(settings, data_dir))["policy"]
    assert not found.good
    assert "no price of local-large" in found.sentence


@pytest.fixture
async def web_page() -> AsyncIterator[str]:
    """The address of a server that has a page for every question, and nothing else."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html><h1>Welcome</h1></html>", content_type="text/html")

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize(
    ("variable", "value", "code", "remedy"),
    [
        ("OPENAI_BASE_URL", "PAGE", 3, "which mostly ends in /v1"),
        ("SANDGLASS_DISCORD_API", "PAGE", 3, "What answers at SANDGLASS_DISCORD_API is not Discord"),
        ("SANDGLASS_BOT_DATABASE", "BROKEN", 3, "set SANDGLASS_BOT_DATABASE"),
        ("SANDGLASS_POLICY", "BROKEN", 3, "save it as UTF-8"),
        ("DISCORD_TOKEN", "MTA.a\nb", 2, "DISCORD_TOKEN is not usable"),
        ("OPENAI_API_KEY", "sk-a\nb", 2, "OPENAI_API_KEY is not usable"),
        ("OPENAI_BASE_URL", "localhost:8000", 2, "OPENAI_BASE_URL is not usable"),
        ("SANDGLASS_DISCORD_API", "http://[", 2, "SANDGLASS_DISCORD_API is not usable"),
        ("SANDGLASS_OPENAI_MODELS", '["a"', 2, "SANDGLASS_OPENAI_MODELS is not usable"),
    ],
)
async def test_a_wrong_setting_is_a_sentence_of_the_check(
    data_dir: Path, web_page: str, *, variable: str, value: str, code: int, remedy: str
) -> None:
    """Never a traceback, and never the value of a secret."""
    broken = data_dir / "broken"
    await asyncio.to_thread(broken.write_bytes, b"\xff nothing that anybody reads" * 100)
    environment = {
        "DISCORD_TOKEN": "MTA.local.token",
        "SANDGLASS_DISCORD_API": "http://127.0.0.1:9/api/v10",
        variable: value.replace("PAGE", web_page).replace("BROKEN", str(broken)),
    }
    process = await bot_process(data_dir, "--check", **environment)
    said = b"".join(await process.communicate()).decode()
    assert process.returncode == code, said
    assert remedy in said
    assert "Traceback" not in said
    for secret in ("MTA.", "sk-a", "nothing that anybody reads"):
        assert secret not in said


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("SANDGLASS_DISCORD_API", "PAGE", "What answers at SANDGLASS_DISCORD_API is not Discord"),
        ("SANDGLASS_BOT_DATABASE", "BROKEN", "set SANDGLASS_BOT_DATABASE"),
        ("SANDGLASS_POLICY", "BROKEN", "save it as UTF-8"),
    ],
)
async def test_a_wrong_setting_ends_the_bot_with_a_sentence(
    data_dir: Path, web_page: str, variable: str, value: str, remedy: str
) -> None:
    """Exit code 2, for nobody but the operator can mend it."""
    broken = data_dir / "broken"
    await asyncio.to_thread(broken.write_bytes, b"\xff nothing that anybody reads" * 100)
    value = value.replace("PAGE", web_page).replace("BROKEN", str(broken))
    process = await bot_process(
        data_dir, SANDGLASS_ATTEST="false", DISCORD_TOKEN="MTA.local.token", **{variable: value}
    )
    said = b"".join(await process.communicate()).decode()
    assert process.returncode == 2, said
    assert remedy in said
    assert "Traceback" not in said


async def test_what_is_left_empty_is_unset(data_dir: Path) -> None:
    """As compose hands on what nobody has set; several models are named with commas."""
    names = ("POLICY", "DISCORD_API", "OPENAI_TIMEOUT", "OPENAI_MODEL", "BOT_DATABASE", "URL")
    process = await bot_process(data_dir, **{f"SANDGLASS_{name}": "" for name in names})
    _, errors = await process.communicate()
    assert (process.returncode, "DISCORD_TOKEN is not set" in errors.decode()) == (2, True)


async def test_a_login_that_worked_once_is_tried_again(discord: LocalDiscord, web_page: str) -> None:
    """A page instead of an account is then Discord's bad day and not our address."""
    client = nextcord.Client()
    discord_itself = nextcord.http.Route.BASE
    try:
        nextcord.http.Route.BASE = web_page
        with pytest.raises(SetupError, match="SANDGLASS_DISCORD_API"):
            await log_in(client, discord.token)
        with pytest.raises(TypeError):
            await log_in(client, discord.token, proven=True)
        with pytest.raises(SetupError, match="correct DISCORD_TOKEN"):
            await log_in(client, "MTA.a\nb")
    finally:
        nextcord.http.Route.BASE = discord_itself
        await client.close()


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


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("bit", "name"),
    [(CREATE_PUBLIC_THREADS, "Create Public Threads"), (SEND_IN_THREADS, "Send Messages in Threads")],
)
async def test_a_thread_that_we_may_not_open_is_said_to_need_a_permission(
    discord: LocalDiscord, bot: SandglassClient, *, bit: int, name: str, late: bool
) -> None:
    """By its name in Discord's own settings, also where it is taken away in that moment."""
    discord.world.me.denied = 0 if late else bit
    asked = await discord.user("alice").slash("chat", channel=discord.general, wait=False)
    discord.world.me.denied = bit
    refused = await asked.wait_for(lambda m: name in m.content)
    assert "I may not open a thread here" in refused.content
    assert late or len([each for each in discord.world.channels.values() if each.parent]) == 0
