"""Everything that outlives one connection to Discord, opened once and handed around."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.catchup import Heard
from bot.connection import Counters, Edits
from bot.model import Model, connect
from bot.money import load_prices
from bot.policy import Policy
from bot.settings import BotSettings
from bot.store import Store, open_store
from bot.warm import Warmer
from orchestrator import Sandglass, SystemClock


@dataclass(frozen=True, kw_only=True)
class Services:
    """The collaborators of a conversation; `model` makes a model by name, None where none is configured."""

    settings: BotSettings
    orchestrator: Sandglass
    store: Store
    policy: Policy
    clock: SystemClock
    model: Callable[[str], Model] | None
    warmer: Warmer
    edits: Edits
    counters: Counters
    heard: Heard

    async def model_of(self, user_id: int) -> Model | None:
        """The model that a person talks to: their choice while it is offered, else the default."""
        if self.model is None:
            return None
        choice = await self.store.choice(user_id)
        return self.model(choice if choice in self.settings.models else self.settings.openai_model)


@asynccontextmanager
async def open_services(
    settings: BotSettings, orchestrator: Sandglass, data_dir: Path
) -> AsyncIterator[Services]:
    """Open the store, below `data_dir` unless set otherwise, and the model's client.

    Raises `SetupError` for an unusable policy file or store.
    """
    policy = await Policy.open(settings.policy)
    path = settings.store_path(data_dir)
    await asyncio.to_thread(load_prices)
    warmer = Warmer(orchestrator)
    async with open_store(path) as store, connect(settings) as model:
        try:
            yield Services(
                settings=settings,
                orchestrator=orchestrator,
                store=store,
                policy=policy,
                clock=SystemClock(),
                model=model,
                warmer=warmer,
                edits=Edits(),
                counters=Counters(),
                heard=Heard(),
            )
        finally:
            await warmer.close()
