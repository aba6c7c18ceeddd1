"""Where the bot's code runs: in an orchestrator of this process, or in a service elsewhere."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bot.settings import BotSettings
from orchestrator import Sandglass, Settings, open_orchestrator, open_remote


@asynccontextmanager
async def open_sandglass(
    settings: BotSettings, ours: Settings, *, serving: bool = False
) -> AsyncIterator[Sandglass]:
    """The service at `SANDGLASS_URL` where one is set, else an orchestrator over our own settings.

    `serving` also refuses a host where an attack gets through; a service has done so for itself.
    """
    if settings.url is not None:
        token = settings.http_token.get_secret_value() if settings.http_token else None
        async with open_remote(settings.url, token) as remote:
            yield remote
        return
    async with open_orchestrator(ours) as orchestrator:
        if serving:
            await orchestrator.require_host()
        yield orchestrator
