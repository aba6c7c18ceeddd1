"""Many people at once."""

import asyncio

from bot.client import SandglassClient
from tests.discord.model import LocalModel, say
from tests.discord.server import LocalDiscord

PEOPLE = 50


async def test_fifty_people_in_fifty_channels_lose_no_turn(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Every question gets its own answer, and no 429 that we caused (the fixture looks)."""
    model.answer_with(lambda asked: say(f"Echo {asked.text.split()[-1]}.", pieces=4, delay=0.2))
    people = [(discord.user(f"user{n}"), discord.channel(f"room{n}")) for n in range(PEOPLE)]
    await asyncio.gather(*(who.ask(where, f"say w{n}") for n, (who, where) in enumerate(people)))
    async with asyncio.timeout(100):
        for n, (_, where) in enumerate(people):
            await where.wait_for(
                lambda m, word=f"Echo w{n}.": word in m.content and not m.components,  # type: ignore[misc]
                100,
            )
    assert len(model.requests) == PEOPLE
