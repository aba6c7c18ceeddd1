"""What the engine itself says of a container, which is removed soon after its end."""

import asyncio
import time

import docker

from bot.client import SandglassClient
from orchestrator import Execution, ExecutionState
from tests.discord.server import Person

STOPPED_WITHIN = 3.0
"""Seconds from a click on Stop to the container's end: two are promised, and tests run three at a time."""


async def running_execution(bot: SandglassClient, who: Person) -> Execution:
    """The newest execution of somebody, once its program runs."""
    async with asyncio.timeout(60):
        while True:
            newest, *_ = await bot.services.orchestrator.list_executions(who.id)
            assert not newest.state.is_terminal, f"it ended: {newest}"
            if newest.state is ExecutionState.RUNNING:
                return newest
            await asyncio.sleep(0.05)


async def died_after(client: docker.DockerClient, execution: Execution, moment: float) -> float:
    """Seconds from a moment (of `time.time`) to the death of its container, by the engine's own clock."""
    filters = {"container": execution.container_id, "event": "die"}

    def deaths() -> list[int]:
        now = time.time()
        # The engine takes parts of seconds, of which docker's types do not know.
        found = client.events(f"{moment:.9f}", f"{now:.9f}", filters, decode=True)  # type: ignore[call-overload]
        return [each["timeNano"] for each in found]

    (died,) = await asyncio.to_thread(deaths)
    return died / 1e9 - moment
