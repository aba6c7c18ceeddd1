"""An orchestrator with the shipped defaults over real containers, and one whose clock can be moved."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator import Orchestrator, Settings, open_orchestrator
from tests.e2e.support import MovableClock


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    """The shipped defaults over a data directory of this test alone."""
    return Settings.load(data_dir=data_dir)


@pytest.fixture
def clock() -> MovableClock:
    """The host's clock until a test moves it."""
    return MovableClock()


@pytest.fixture
async def orchestrator(settings: Settings, clock: MovableClock) -> AsyncIterator[Orchestrator]:
    """An open orchestrator; what runs is cancelled when the test ends."""
    async with open_orchestrator(settings, clock=clock, maintain=False) as opened:
        yield opened
