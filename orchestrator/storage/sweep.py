"""Delete what has expired and make index and disk agree, both ways; safe to kill at any point.

Everything is done in batches: memory is bounded, and no execution waits long for its transaction.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from orchestrator.domain.files import OnSweep, SweepReport
from orchestrator.domain.sandbox import STANDBY_PREFIX
from orchestrator.domain.states import ExecutionState
from orchestrator.errors import Refused, SandglassError, StorageFault
from orchestrator.storage.blobs import DirectoryBlobs
from orchestrator.storage.clock import Clock
from orchestrator.storage.database import Database
from orchestrator.storage.disk_sweep import (
    Leavings,
    blob_directories,
    clear_temporary,
    delete_blobs,
    missing_blobs,
    old_blobs,
    owner_of,
)
from orchestrator.storage.expiry import Expiry, has_ended
from orchestrator.storage.holds import LENGTH, is_claimed, is_held, only_one, was_held
from orchestrator.storage.leavings import WorkspaceSweep
from orchestrator.storage.tables import executions, files, sweeps
from orchestrator.storage.workspaces import DirectoryWorkspaces

log = structlog.get_logger(__name__)

BATCH = 500
GRACE = timedelta(hours=1)
"""A blob younger than this may belong to a harvest whose rows are not committed yet."""

_DISBELIEF = 100
"""From so many rows on, a batch of which no blob is found is a disk that is not mounted, not a loss."""

_PATIENCE = 1.5 * LENGTH.total_seconds()
"""For so many seconds whoever clears a workspace waits for others in it: longer than a dead one's hold."""
_PAUSE = 0.05

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


@dataclass(slots=True)
class _Sweep:
    """One sweep under way."""

    now: datetime
    dry_run: bool
    tell: OnSweep
    counts: _Counts


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
        self._expiry = Expiry(database, blobs, workspaces, clock)
        self._leavings = WorkspaceSweep(database, workspaces, clock)

    async def sweep(self, *, dry_run: bool = False, on_progress: OnSweep | None = None) -> SweepReport:
        """Sweep once; a dry run reports the same figures and changes nothing.

        Raises `StorageFault`, and `Refused` while another sweep is under way.
        """
        this = _Sweep(now=self._clock.now(), dry_run=dry_run, tell=on_progress or _nobody, counts=_Counts())
        if dry_run:
            return await self._sweep(this)
        with only_one(self._database.path.with_name("sweep.lock")):
            await self._wait_for_others()
            report = await self._sweep(this)
            await self._record(report)
        return report

    async def _wait_for_others(self) -> None:
        """Until the holds of now are given back or have lapsed: those of a dead sweep are what it left."""
        begun, give_up = self._clock.now(), time.monotonic() + _PATIENCE
        while time.monotonic() < give_up:
            async with self._database.session() as connection:
                if not await connection.scalar(sa.select(was_held(begun, self._clock.now()))):
                    return
            await asyncio.sleep(_PAUSE)

    async def _sweep(self, this: _Sweep) -> SweepReport:
        begun = time.monotonic()
        log.info("sweep started", dry_run=this.dry_run)
        await self._expire(this)
        await self._sweep_blobs(this)
        await self._mark_missing(this)
        await self._sweep_staging(this)
        if self._ttl is not None:
            await self._sweep_workspaces(this, this.now - self._ttl)
        await self._workspaces.tidy()
        duration = time.monotonic() - begun
        counts = asdict(this.counts)
        log.info("sweep ended", dry_run=this.dry_run, duration=round(duration, 3), **counts)
        return SweepReport(dry_run=this.dry_run, started_at=this.now, duration=duration, **counts)

    async def clear(self, owner: str) -> Leavings:
        """Remove what is in a workspace and is no stored file; nothing while a program of its owner runs.

        A file that expired or was deleted is none either: its row goes with its copy. Others that are
        removing from it are waited for; raises `Refused` where they do not come to an end.
        """
        removed, give_up = Leavings(), time.monotonic() + _PATIENCE
        while True:  # a pass is bounded in time and in entries
            removed.files += await self.end(owner)
            leavings = await self._leavings.clear(owner, self._clock.now(), dry_run=False)
            removed.files += leavings.files
            removed.directories += leavings.directories
            if leavings.files or leavings.directories:
                continue
            if not (leavings.busy or await self._is_left(owner)):
                return removed
            if time.monotonic() > give_up:
                raise Refused("Others are removing from the workspace, and not all is gone: try again later.")
            await asyncio.sleep(_PAUSE)

    async def end(self, owner: str, file_id: str | None = None) -> int:
        """End what of an owner, or whether this file, has expired or was deleted; how many copies went.

        What only waits until a program, or somebody else, has left the workspace is left to the next sweep.
        """
        now = self._clock.now()
        whose = sa.literal(owner)
        in_use = sa.or_(is_claimed(whose), is_held(whose, now, now + LENGTH))
        waits = sa.and_(files.c.deleted_at.is_not(None), files.c.workspace_path.is_not(None), in_use)
        ended = sa.and_(files.c.owner == owner, has_ended(now), ~waits)
        if file_id is not None:
            ended = sa.and_(files.c.file_id == file_id, ended)
        async with self._database.session() as connection:
            seqs = (await connection.scalars(sa.select(files.c.seq).where(ended))).all()
        return sum([await self._expiry.end(seqs[at : at + BATCH]) for at in range(0, len(seqs), BATCH)])

    async def _is_left(self, owner: str) -> bool:
        """Whether something waits to be ended, and not for a program."""
        ended = sa.and_(files.c.owner == owner, has_ended(self._clock.now()))
        async with self._database.session() as connection:
            waiting = sa.select(sa.exists().where(ended) & ~is_claimed(sa.literal(owner)))
            return bool(await connection.scalar(waiting))

    async def last_sweep(self) -> datetime | None:
        """When the newest sweep that was no dry run started, if there was one."""
        query = sa.select(sweeps.c.started_at).order_by(sweeps.c.id.desc()).limit(1)
        async with self._database.session() as connection:
            return await connection.scalar(query)

    async def _expire(self, this: _Sweep) -> None:
        """Delete rows that ended, with their bytes and workspace copies."""
        async for batch in self._batches(this, "expired files", has_ended(this.now)):
            seqs = [row.seq for row in batch]
            this.counts.expired_files += len(batch)
            this.counts.expired_bytes += sum(row.size for row in batch)
            remove = self._expiry.would_remove if this.dry_run else self._expiry.end
            this.counts.workspace_files += await remove(seqs)

    async def _sweep_blobs(self, this: _Sweep) -> None:
        """Delete blobs that no row names, once they are too old to belong to a harvest under way."""
        before = this.now - GRACE
        this.counts.orphan_blobs += await asyncio.to_thread(
            clear_temporary, self._blobs, before, dry_run=this.dry_run
        )
        directories = await asyncio.to_thread(blob_directories, self._blobs)
        for number, directory in enumerate(directories):
            this.tell("blobs", number, len(directories))
            ids = await asyncio.to_thread(old_blobs, self._blobs, directory, before)
            for start in range(0, len(ids), BATCH):
                orphans = await self._orphans_among(ids[start : start + BATCH])
                this.counts.orphan_blobs += len(orphans)
                if not this.dry_run:
                    await asyncio.to_thread(delete_blobs, self._blobs, orphans)

    async def _orphans_among(self, ids: Sequence[str]) -> list[str]:
        async with self._database.session() as connection:
            named = await connection.scalars(sa.select(files.c.file_id).where(files.c.file_id.in_(ids)))
            orphans = sorted(set(ids).difference(named))
            # A clock that jumped makes every blob old, also those of a harvest under way.
            claimed = {
                owner
                for owner in {owner_of(file_id) for file_id in orphans}
                if await connection.scalar(sa.select(is_claimed(sa.literal(owner))))
            }
        return [file_id for file_id in orphans if owner_of(file_id) not in claimed]

    async def _mark_missing(self, this: _Sweep) -> None:
        """Mark rows whose blob is lost: they are not listed from now on, and the next sweep deletes them.

        A workspace copy is the last one then, and lives on as any file that was never stored.
        """
        live = sa.and_(
            files.c.deleted_at.is_(None),
            sa.or_(files.c.expires_at.is_(None), files.c.expires_at > this.now),
        )
        async for batch in self._batches(this, "stored files", live):
            ids = [row.file_id for row in batch]
            lost = await asyncio.to_thread(missing_blobs, self._blobs, ids)
            # Asked again, in a transaction: a file that was deleted since we read its row is not lost.
            still = sa.and_(files.c.file_id.in_(lost), live)
            async with self._database.session() as connection:
                missing = await connection.scalar(sa.select(sa.func.count()).where(still)) if lost else 0
            if not missing:
                continue
            if missing == len(batch) >= _DISBELIEF:
                raise StorageFault(
                    f"None of {missing} stored files is in the blob store {self._blobs.root}, so none was "
                    "marked as lost: check that its disk is mounted, or restore the index that belongs to it."
                )
            this.counts.missing_blobs += missing
            log.error("blobs missing", rows=missing)
            if not this.dry_run:
                async with self._database.begin() as connection:
                    marking = files.update().where(still)
                    await connection.execute(marking.values(deleted_at=this.now, workspace_path=None))

    async def _sweep_staging(self, this: _Sweep) -> None:
        """Remove what was staged for executions that are over or that nobody knows."""
        staged = [name for name in await self._workspaces.staged() if not name.startswith(STANDBY_PREFIX)]
        for start in range(0, len(staged), BATCH):
            ids = staged[start : start + BATCH]
            unfinished = sa.select(executions.c.execution_id).where(
                executions.c.execution_id.in_(ids), executions.c.state.not_in(_TERMINAL)
            )
            async with self._database.session() as connection:
                stale = set(ids) - set((await connection.scalars(unfinished)).all())
            this.counts.stale_staging += len(stale)
            for execution_id in stale if not this.dry_run else ():
                await self._workspaces.unstage(execution_id)

    async def _sweep_workspaces(self, this: _Sweep, before: datetime) -> None:
        """Remove files older than a lifetime that no live row names, and directories left empty."""
        names = await asyncio.to_thread(self._leavings.owners)
        for number, owner in enumerate(names):
            this.tell("workspaces", number, len(names))
            try:
                await self._leavings.reach(owner)
            except SandglassError as error:  # one owner's image is no reason to sweep nobody's workspace
                log.warning("workspace out of reach", owner=owner, error=str(error))
                continue
            leavings = await self._leavings.clear(owner, before, dry_run=this.dry_run)
            this.counts.workspace_files += leavings.files
            this.counts.empty_directories += leavings.directories

    async def _batches(
        self, this: _Sweep, what: str, condition: sa.ColumnElement[bool]
    ) -> AsyncIterator[Sequence[sa.Row[Any, Any, Any]]]:
        """Rows that meet `condition`, oldest first; each is seen once even where it cannot be deleted."""
        async with self._database.session() as connection:
            total = await connection.scalar(sa.select(sa.func.count()).where(condition)) or 0
        done, last = 0, 0
        while True:
            this.tell(what, done, total)
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
            done, last = done + len(rows), rows[-1].seq

    async def _record(self, report: SweepReport) -> None:
        body = asdict(report) | {"started_at": report.started_at.isoformat()}
        async with self._database.begin() as connection:
            await connection.execute(
                sweeps.insert().values(started_at=report.started_at, duration=report.duration, report=body)
            )


def _nobody(what: str, done: int, total: int) -> None:
    """Nobody asked."""
