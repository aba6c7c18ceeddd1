"""A connection that is lost and replaced, and what was said meanwhile: nothing lost, nothing said twice."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.client import SandglassClient
from bot.services import open_services
from bot.settings import BotSettings
from bot.supervise import keep_connected
from bot.turns import Turns
from orchestrator import Settings, open_orchestrator
from tests.discord.model import LocalModel, call, say
from tests.discord.server import LocalDiscord

type Watched = Callable[..., AbstractAsyncContextManager[list[SandglassClient]]]

STEPS = "import time\nfor _ in range({tenths}):\n    time.sleep(0.1)\nprint('the run is over')"


@pytest.fixture
def watched(discord: LocalDiscord, model: LocalModel, data_dir: Path) -> Watched:
    """Opens the bot under its watch, over the same data each time; gives the clients that were made."""

    @asynccontextmanager
    async def opened(**overrides: Any) -> AsyncIterator[list[SandglassClient]]:
        settings = await asyncio.to_thread(
            BotSettings.load,
            openai_api_key=model.api_key,
            openai_base_url=model.base_url,
            openai_model="local-large",
            **overrides,
        )
        ours = await asyncio.to_thread(Settings.load, data_dir=data_dir)
        turns = Turns()
        clients: list[SandglassClient] = []
        async with (
            open_orchestrator(ours) as orchestrator,
            open_services(settings, orchestrator, ours.data_dir) as services,
        ):

            def make() -> SandglassClient:
                clients.append(SandglassClient(services, turns, guild_ready_timeout=0.05))
                return clients[-1]

            watch = asyncio.create_task(keep_connected(make, discord.token, first_wait=0.05))
            try:
                await discord.connected(20)
                await asyncio.wait_for(clients[-1].synced.wait(), 20)
                yield clients
            finally:
                watch.cancel()
                await asyncio.gather(turns.close(), watch, return_exceptions=True)

    return opened


async def connections(discord: LocalDiscord, number: int, timeout: float = 20) -> None:
    """Wait until so many were made, and one is there."""
    gateway = discord.gateway
    await discord.world.until(
        lambda: (gateway.connected and gateway.identifies >= number) or None, timeout, f"not {number} clients"
    )


@pytest.mark.parametrize("fault", ["malformed event", "corrupt stream"])
async def test_a_command_outlives_the_connection_that_it_came_by(
    discord: LocalDiscord, model: LocalModel, watched: Watched, fault: str
) -> None:
    """The next client listens at once; the result arrives where "running" stood; then the session closes."""
    model.script([say("I hear you.")])
    alice = discord.user("alice")
    async with watched() as clients:
        made = await alice.slash("run", channel=discord.general, code=STEPS.format(tenths=60))
        await made.wait_for(lambda m: "running" in m.content, 20)
        discord.corrupt_gateway() if fault == "corrupt stream" else discord.confuse_gateway()
        await connections(discord, 2, 3)
        await discord.user("bob").ask(discord.general, "are you there?")
        await discord.general.wait_for(lambda m: "I hear you." in m.content and not m.components, 10)
        assert not [each for each in made.messages if "the run is over" in each.content]
        shown = await made.wait_for(lambda m: "the run is over" in m.content, 20)
        assert "running" not in shown.content
        assert len([each for each in made.messages if not each.deleted]) == 1
    first = clients[0].http._HTTPClient__session  # type: ignore[attr-defined]
    assert first.closed


async def test_an_answer_outlives_the_connection_that_its_question_came_by(
    discord: LocalDiscord, model: LocalModel, watched: Watched
) -> None:
    """Begun by one client, and said once, through its session, while the next one listens."""
    model.script([call("execute_python", {"code": STEPS.format(tenths=30)}), say("All is computed.")])
    async with watched():
        question = await discord.user("alice").ask(discord.general, "compute")
        await discord.general.wait_for(lambda m: "running" in m.content, 20)
        discord.confuse_gateway()
        await connections(discord, 2, 3)
        await discord.general.wait_for(lambda m: "All is computed." in m.content and not m.components, 30)
    assert not [m for m in discord.general.messages if "running" in m.content]
    assert len([m for m in discord.general.messages if m.reference == question.id]) == 1
    assert len(model.requests) == 2


async def test_a_shutdown_waits_for_the_last_words_of_every_client(
    discord: LocalDiscord, model: LocalModel, watched: Watched
) -> None:
    """What an earlier client has in hand is stopped, said to be, and no session is left open."""
    alice = discord.user("alice")
    async with watched() as clients:
        made = await alice.slash("run", channel=discord.general, code=STEPS.format(tenths=900))
        await made.wait_for(lambda m: "running" in m.content, 20)
        discord.confuse_gateway()
        await connections(discord, 2, 3)
    assert [each.content for each in made.messages] == ["-# ⏹️ stopped"]
    for client in clients:
        assert client.http._HTTPClient__session.closed  # type: ignore[attr-defined]
