"""Delete what has expired and make index and disk agree, both ways; safe to kill at any point."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from orchestrator.domain.files import SweepReport
from orchestrator.domain.sandbox import STANDBY_PREFIX
from orchestrator.domain.states import ExecutionState
from orchestrator.storage.blobs import DirectoryBlobs
from orchestrator.storage.clock import Clock
from orchestrator.storage.database import Database
from orchestrator.storage.disk_sweep import (
    blob_ids,
    clear_leavings,
    clear_temporary,
    delete_blobs,
    old_files,
)
from orchestrator.storage.tables import executions, files, sweeps
from orchestrator.storage.workspaces import Copy, DirectoryWorkspaces, newest_copies, remove_copies

log = structlog.get_logger(__name__)

BATCH = 500
GRACE = timedelta(hours=1)
"""A blob younger than this may belong to a harvest whose rows are not committed yet."""

_TERMINAL = tuple(state.value for state in ExecutionState if state.is_terminal)


@dataclass(slots=True)
class _Counts:
    expired_files: int = 0
    expired_bytes: int = 0
    workspace_files: int = 0
    empty_directories: int = 0
    orphan_blobs: int = 0
    missing_blobs: int = 0
    stale_staging: int = 0


class Sweeper:
    """The sweep of one installation; holds nothing between sweeps but what it was given."""

    def __init__(
        self,
        database: Database,
        blobs: DirectoryBlobs,
        workspaces: DirectoryWorkspaces,
        clock: Clock,
        ttl: timedelta | None,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._workspaces = workspaces
        self._clock = clock
        self._ttl = ttl

    async def sweep(self, *, dry_run: bool = False) -> SweepReport:
        """Sweep once; a dry run reports the same figures and changes nothing. Raises `StorageFault`."""
        started_at, begun = self._clock.now(), time.monotonic()
        log.info("sweep started", dry_run=dry_run)
        counts = _Counts()
        await self._expire(started_at, counts, dry_run=dry_run)
        await self._sweep_blobs(started_at, counts, dry_run=dry_run)
        await self._mark_missing(started_at, counts, dry_run=dry_run)
        await self._sweep_staging(counts, dry_run=dry_run)
        if self._ttl is not None:
            await self._sweep_workspaces(started_at - self._ttl, counts, dry_run=dry_run)
        duration = time.monotonic() - begun
        report = SweepReport(dry_run=dry_run, started_at=started_at, duration=duration, **asdict(counts))
        if not dry_run:
            await self._record(report)
        log.info("sweep ended", dry_run=dry_run, duration=round(duration, 3), **asdict(counts))
        return report

    async def last_sweep(self) -> datetime | None:
        """When the newest sweep that was no dry run started, if there was one."""
        query = sa.select(sweeps.c.started_at).order_by(sweeps.c.id.desc()).limit(1)
        async with self._database.session() as connection:
            return await connection.scalar(query)

    async def _expire(self, now: datetime, counts: _Counts, *, dry_run: bool) -> None:
        """Mark a batch of rows, delete their bytes and workspace copies, then the rows."""
        gone = sa.or_(files.c.expires_at <= now, files.c.deleted_at.is_not(None))
        async for batch in self._batches(gone):
            condition = files.c.seq.in_([row.seq for row in batch])
            counts.expired_files += len(batch)
            counts.expired_bytes += sum(row.size for row in batch)
            if dry_run:
                counts.workspace_files += await self._remove_copies(condition, dry_run=True)
                continue
            async with self._database.begin() as connection:
                # The lifetime is asked for again: somebody may have extended a file since we read it.
                await connection.execute(files.update().where(condition, gone).values(deleted_at=now))
            marked = sa.and_(condition, files.c.deleted_at.is_not(None))
            async with self._database.session() as connection:
                ids = (await connection.scalars(sa.select(files.c.file_id).where(marked))).all()
            await asyncio.to_thread(delete_blobs, self._blobs, ids)
            counts.workspace_files += await self._remove_copies(marked, dry_run=False)
            async with self._database.begin() as connection:
                await connection.execute(files.delete().where(marked))

    async def _remove_copies(self, condition: sa.ColumnElement[bool], *, dry_run: bool) -> int:
        async with self._database.session() as connection:
            query = newest_copies(sa.and_(condition, files.c.workspace_path.is_not(None)))
            rows = (await connection.execute(query)).all()
        busy = await self._busy_owners() if rows else frozenset()
        copies: dict[str, list[Copy]] = {}
        for row in rows:
            if row.owner not in busy:
                copy = Copy(path=row.path, size=row.size, mtime_ns=row.mtime_ns)
                copies.setdefault(row.owner, []).append(copy)
        removed = 0
        for owner, batch in copies.items():
            path = self._workspaces.path(owner)
            removed += await asyncio.to_thread(remove_copies, path, batch, dry_run=dry_run)
        return removed

    async def _sweep_blobs(self, now: datetime, counts: _Counts, *, dry_run: bool) -> None:
        """Delete blobs that no row names, once they are too old to belong to a harvest under way."""
        counts.orphan_blobs += await asyncio.to_thread(
            clear_temporary, self._blobs, now - GRACE, dry_run=dry_run
        )
        async for ids in blob_ids(self._blobs, older_than=now - GRACE, batch=BATCH):
            async with self._database.session() as connection:
                query = sa.select(files.c.file_id).where(files.c.file_id.in_(ids))
                orphans = set(ids) - set((await connection.scalars(query)).all())
            counts.orphan_blobs += len(orphans)
            if not dry_run:
                await asyncio.to_thread(delete_blobs, self._blobs, sorted(orphans))

    async def _mark_missing(self, now: datetime, counts: _Counts, *, dry_run: bool) -> None:
        """Mark rows whose blob is lost: they are not listed from now on, and the next sweep deletes them."""
        live = sa.and_(
            files.c.deleted_at.is_(None), sa.or_(files.c.expires_at.is_(None), files.c.expires_at > now)
        )
        async for batch in self._batches(live):
            lost = await asyncio.to_thread(
                lambda rows: [row.seq for row in rows if not self._blobs.path(row.file_id).exists()], batch
            )
            counts.missing_blobs += len(lost)
            if lost and not dry_run:
                log.error("blobs missing", rows=len(lost))
                async with self._database.begin() as connection:
                    marking = files.update().where(files.c.seq.in_(lost), files.c.deleted_at.is_(None))
                    await connection.execute(marking.values(deleted_at=now))

    async def _sweep_staging(self, counts: _Counts, *, dry_run: bool) -> None:
        """Remove what was staged for executions that are over or that nobody knows."""
        staged = [name for name in await self._workspaces.staged() if not name.startswith(STANDBY_PREFIX)]
        for start in range(0, len(staged), BATCH):
            ids = staged[start : start + BATCH]
            unfinished = sa.select(executions.c.execution_id).where(
                executions.c.execution_id.in_(ids), executions.c.state.not_in(_TERMINAL)
            )
            async with self._database.session() as connection:
                stale = set(ids) - set((await connection.scalars(unfinished)).all())
            counts.stale_staging += len(stale)
            for execution_id in stale if not dry_run else ():
                await self._workspaces.unstage(execution_id)

    async def _sweep_workspaces(self, before: datetime, counts: _Counts, *, dry_run: bool) -> None:
        """Remove files older than a lifetime that no live row names, and directories left empty."""
        for owner in await asyncio.to_thread(_names_in, self._workspaces):
            if owner in await self._busy_owners():
                continue
            path = self._workspaces.path(owner)
            candidates = await asyncio.to_thread(old_files, path, before)
            kept = await self._live_among(owner, candidates)
            leavings = await asyncio.to_thread(clear_leavings, path, before, kept, dry_run=dry_run)
            counts.workspace_files += leavings.files
            counts.empty_directories += leavings.directories

    async def _live_among(self, owner: str, paths: Sequence[bytes]) -> set[bytes]:
        """Which of these workspace paths a row still names; expired rows were dealt with before."""
        live: set[bytes] = set()
        for start in range(0, len(paths), BATCH):
            query = sa.select(files.c.workspace_path).where(
                files.c.owner == owner, files.c.workspace_path.in_(paths[start : start + BATCH])
            )
            async with self._database.session() as connection:
                live |= set((await connection.scalars(query)).all())
        return live

    async def _busy_owners(self) -> frozenset[str]:
        query = sa.select(executions.c.owner).where(executions.c.state.not_in(_TERMINAL)).distinct()
        async with self._database.session() as connection:
            return frozenset((await connection.scalars(query)).all())

    async def _batches(
        self, condition: sa.ColumnElement[bool]
    ) -> AsyncIterator[Sequence[sa.Row[Any, Any, Any]]]:
        """Rows that meet `condition`, oldest first; each is seen once even where it cannot be deleted."""
        last = 0
        while True:
            query = (
                sa.select(files.c.seq, files.c.file_id, files.c.size)
                .where(files.c.seq > last, condition)
                .order_by(files.c.seq)
                .limit(BATCH)
            )
            async with self._database.session() as connection:
                rows = (await connection.execute(query)).all()
            if not rows:
                return
            yield rows
            last = rows[-1].seq

    async def _record(self, report: SweepReport) -> None:
        body = asdict(report) | {"started_at": report.started_at.isoformat()}
        async with self._database.begin() as connection:
            await connection.execute(
                sweeps.insert().values(started_at=report.started_at, duration=report.duration, report=body)
            )


def _names_in(workspaces: DirectoryWorkspaces) -> list[str]:
    if not workspaces.root.is_dir():
        return []
    return sorted(
        entry.name for entry in workspaces.root.iterdir() if entry.is_dir() and not entry.is_symlink()
    )
