"""The whole bot over a local Discord, a local model server and real containers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.client import SandglassClient
from bot.services import open_services
from bot.settings import BotSettings
from bot.turns import Turns
from orchestrator import Settings, open_orchestrator
from tests.discord.clients import running
from tests.discord.model import LocalModel
from tests.discord.server import LocalDiscord

type OpenBot = Callable[..., AbstractAsyncContextManager[SandglassClient]]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let nextcord pass a float timeout to aiohttp's websocket: the deprecation is its own business."""
    item.add_marker(
        pytest.mark.filterwarnings("ignore:parameter 'timeout' of type 'float':DeprecationWarning")
    )


@pytest.fixture
async def discord() -> AsyncIterator[LocalDiscord]:
    """A fresh local Discord; every exchange must be one that the published document allows."""
    async with LocalDiscord() as server:
        yield server
        await server.finish()
        assert not server.limits.caused


@pytest.fixture
async def model() -> AsyncIterator[LocalModel]:
    """A fresh local model; nothing may have been asked that OpenAI would refuse."""
    async with LocalModel() as server:
        yield server
        server.finish()


@pytest.fixture
def open_bot(discord: LocalDiscord, model: LocalModel, data_dir: Path) -> OpenBot:
    """Opens the bot over the same data each time, so that it can be restarted."""

    @asynccontextmanager
    async def opened(
        *, with_model: bool = True, sandbox: dict[str, Any] | None = None, **overrides: Any
    ) -> AsyncIterator[SandglassClient]:
        if with_model:
            overrides = {
                "openai_api_key": model.api_key,
                "openai_base_url": model.base_url,
                "openai_model": "local-large",
                "openai_models": ("local-small",),
                **overrides,
            }
        settings = await asyncio.to_thread(BotSettings.load, **overrides)
        ours = await asyncio.to_thread(Settings.load, data_dir=data_dir, **(sandbox or {}))
        turns = Turns()
        async with (
            open_orchestrator(ours) as orchestrator,
            open_services(settings, orchestrator, ours.data_dir) as services,
            running(SandglassClient(services, turns, guild_ready_timeout=0.05), discord) as client,
        ):
            try:
                await asyncio.wait_for(client.synced.wait(), 20)
                yield client
            finally:
                await turns.close()

    return opened


@pytest.fixture
async def bot(open_bot: OpenBot) -> AsyncIterator[SandglassClient]:
    """The running bot."""
    async with open_bot() as client:
        yield client
