"""The local Discord and the local model, for every test of this folder."""

from collections.abc import AsyncIterator

import pytest

from .model import LocalModel
from .server import LocalDiscord


@pytest.fixture
async def discord() -> AsyncIterator[LocalDiscord]:
    """A fresh local Discord; at the end every exchange must be one that the published document allows."""
    async with LocalDiscord() as server:
        yield server
        await server.finish()


@pytest.fixture
async def model() -> AsyncIterator[LocalModel]:
    """A fresh local model; at the end nothing may have been asked that OpenAI would refuse."""
    async with LocalModel() as server:
        yield server
        server.finish()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let nextcord pass a float timeout to aiohttp's websocket: the deprecation is its own business."""
    item.add_marker(
        pytest.mark.filterwarnings("ignore:parameter 'timeout' of type 'float':DeprecationWarning")
    )
