"""A real index and a real blob directory for every test, with a clock that only moves when told."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.storage.blobs import DirectoryBlobs
from orchestrator.storage.database import Database
from orchestrator.storage.executions import SqlExecutions
from orchestrator.storage.files import SqlFiles
from tests.storage.moved_clock import TTL, MovedClock
from tests.storage.world import Store, open_store


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "index.sqlite3")
    yield opened
    await opened.close()


@pytest.fixture
def blobs(tmp_path: Path) -> DirectoryBlobs:
    return DirectoryBlobs(tmp_path / "blobs")


@pytest.fixture
def executions(database: Database, clock: MovedClock) -> SqlExecutions:
    return SqlExecutions(database, clock)


@pytest.fixture
def files(database: Database, blobs: DirectoryBlobs, clock: MovedClock) -> SqlFiles:
    return SqlFiles(database, blobs, clock, TTL, max_bytes=1_000)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A whole storage, workspaces and sweeper included, over the host's time moved by an offset."""
    root = tmp_path / "data"
    root.mkdir(mode=0o700)
    async with open_store(root) as opened:
        yield opened
