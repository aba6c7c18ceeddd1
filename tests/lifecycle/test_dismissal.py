"""A standby has its owner's workspace mounted, so that it goes before the workspace is cleared."""

import asyncio
from pathlib import Path

from orchestrator import open_orchestrator
from orchestrator.domain.sandbox import SandboxKind, SandboxSpec
from tests.lifecycle.faulty import FaultyEngine, settings_for


def owners_of_standbys(engine: FaultyEngine) -> list[str]:
    """Whose standbys the engine has."""
    return sorted(
        sandbox.spec.owner
        for sandbox in engine.sandboxes.values()
        if sandbox.spec.kind is SandboxKind.STANDBY
    )


async def test_clearing_a_workspace_gives_up_its_standby(data_dir: Path, engine: FaultyEngine) -> None:
    """It is gone when the call returns, ready or in the making; another's stays, and a new one may come."""
    begun = asyncio.Event()

    async def begins(_: SandboxSpec) -> None:
        begun.set()

    settings = await settings_for(data_dir, standby_count=2)
    async with open_orchestrator(settings, engine=engine, maintain=False) as orchestrator:
        assert await orchestrator.prewarm("ann")
        assert await orchestrator.prewarm("bob")
        await orchestrator.clear_workspace("ann")
        assert owners_of_standbys(engine) == ["bob"]
        engine.at["start"] = begins
        coming = asyncio.create_task(orchestrator.prewarm("ann"))
        await asyncio.wait_for(begun.wait(), 20)
        await orchestrator.clear_workspace("ann")
        assert owners_of_standbys(engine) == ["bob"]
        await coming
        assert await orchestrator.prewarm("ann")
        assert (await orchestrator.execute_code("print(1)", "ann")).warm
