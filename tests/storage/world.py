"""A whole storage over one directory: index, blobs, workspaces, and a clock that can be moved."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestrator.domain.files import Harvest, Manifest
from orchestrator.domain.limits import Limits
from orchestrator.domain.outcomes import Outcome
from orchestrator.domain.results import ExecutionRequest, ExecutionResult, Timings
from orchestrator.domain.states import ExecutionState
from orchestrator.storage.blobs import DirectoryBlobs
from orchestrator.storage.database import Database
from orchestrator.storage.executions import SqlExecutions
from orchestrator.storage.files import SqlFiles
from orchestrator.storage.loop import LoopImages
from orchestrator.storage.sweep import Sweeper
from orchestrator.storage.workspaces import DirectoryWorkspaces

TTL = timedelta(hours=48)
NOTHING = Manifest(entries={}, bytes_used=0, inodes_used=0)


class OffsetClock:
    """The host's time, which file systems stamp with, moved by `offset`."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC) + self.offset


@dataclass(frozen=True, kw_only=True)
class Store:
    """Everything that a test of workspaces or the sweep touches."""

    root: Path
    clock: OffsetClock
    database: Database
    blobs: DirectoryBlobs
    executions: SqlExecutions
    files: SqlFiles
    workspaces: DirectoryWorkspaces
    sweeper: Sweeper

    async def workspace(self, owner: str = "alice") -> Path:
        """The owner's workspace, opened."""
        return (await self.workspaces.open(owner))[0]

    async def begin(self, execution_id: str, owner: str = "alice") -> None:
        """An execution of `owner` that has been claimed and is not over."""
        later = self.clock.now() + timedelta(days=30)
        request = ExecutionRequest(code="", owner=owner)
        await self.executions.add(execution_id, request, holder="test", until=later)
        for _ in range(3000):
            if await self.executions.claim(
                execution_id, holder="test", until=later, image="sha256:0", runtime="runc"
            ):
                return
            await asyncio.sleep(0.01)  # a sweep is in the workspace
        raise AssertionError("the workspace did not come free in 30 seconds")

    async def finish(self, execution_id: str, harvest: Harvest, owner: str = "alice") -> None:
        """Commit what was harvested."""
        result = ExecutionResult(
            execution_id=execution_id,
            owner=owner,
            success=True,
            outcome=Outcome.OK,
            exit_code=0,
            hint=None,
            output="",
            error="",
            output_bytes=0,
            error_bytes=0,
            truncated=False,
            execution_time=0.0,
            timings=Timings(),
            warm=False,
            generated_files=tuple(found.file for found in harvest.files),
            generated_file_ids=tuple(found.file.file_id for found in harvest.files),
            skipped_files=harvest.skipped,
            image="sha256:0",
            runtime="runc",
        )
        state = ExecutionState.PREPARING
        for following in (ExecutionState.RUNNING, ExecutionState.HARVESTING):
            await self.executions.move(execution_id, state, following, lease_holder="test")
            state = following
        await self.executions.commit(result, harvest, old=state, new=ExecutionState.COMPLETED, holder="test")

    async def keep(self, execution_id: str, owner: str = "alice", before: Manifest = NOTHING) -> Harvest:
        """A whole execution that made what now lies in the workspace."""
        await self.begin(execution_id, owner)
        harvest = await self.workspaces.harvest(owner, before, Limits())
        await self.finish(execution_id, harvest, owner)
        return harvest

    def blob_count(self) -> int:
        """How many files are in the blob store, half-written ones included."""
        return sum(len(names) for _, _, names in os.walk(self.root / "blobs"))


@asynccontextmanager
async def open_store(root: Path, images: LoopImages | None = None) -> AsyncIterator[Store]:
    """A storage below `root`, closed at the end."""
    clock = OffsetClock()
    database = await Database.open(root / "index.sqlite3")
    blobs = DirectoryBlobs(root / "blobs")
    workspaces = DirectoryWorkspaces(
        root / "workspaces", root / "staging", database, blobs, clock, TTL, 700_000, images=images
    )
    try:
        yield Store(
            root=root,
            clock=clock,
            database=database,
            blobs=blobs,
            executions=SqlExecutions(database, clock),
            files=SqlFiles(database, blobs, clock, TTL, 50_000_000),
            workspaces=workspaces,
            sweeper=Sweeper(database, blobs, workspaces, clock, TTL),
        )
    finally:
        await workspaces.close()
        await database.close()
