"""An orchestrator over an engine that fails when told."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator import Orchestrator, Settings, open_orchestrator
from tests.lifecycle.faulty import FaultyEngine, remember_states, settings_for


@pytest.fixture
async def settings(data_dir: Path) -> Settings:
    """Four slots over a data directory of this test alone."""
    return await settings_for(data_dir)


@pytest.fixture
async def engine() -> AsyncIterator[FaultyEngine]:
    """Its processes end with the test."""
    async with FaultyEngine() as made:
        yield made


@pytest.fixture
async def orchestrator(settings: Settings, engine: FaultyEngine) -> AsyncIterator[Orchestrator]:
    """Open, unmaintained, with an index that remembers states."""
    async with open_orchestrator(settings, engine=engine, maintain=False) as opened:
        await remember_states(opened)
        yield opened
