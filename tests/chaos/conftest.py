"""The shipped defaults over a data directory of the test alone."""

from pathlib import Path

import pytest

from orchestrator import Settings


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    """Read before the event loop runs."""
    return Settings.load(data_dir=data_dir)
