"""From settings to models; the client and its connections are shared by all of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
from openai import AsyncOpenAI

from bot.model.adapter import Adapter
from bot.model.chat import ChatModel
from bot.model.port import Model
from bot.model.responses import ResponsesModel
from bot.settings import BotSettings


@asynccontextmanager
async def connect(settings: BotSettings) -> AsyncIterator[Callable[[str], Model] | None]:
    """Yield what makes a model by name, or None where no model is configured."""
    if not settings.has_model:
        yield None
        return
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else "unused"
    timeout = httpx2.Timeout(settings.openai_timeout, connect=10)
    # In a thread: making the client reads certificates and asks the system what it runs on.
    made = await asyncio.to_thread(
        AsyncOpenAI, api_key=key, base_url=settings.openai_base_url, timeout=timeout
    )
    async with made as client:
        kind: type[Adapter] = ResponsesModel if settings.openai_api == "responses" else ChatModel
        yield lambda name: kind(client, name)
