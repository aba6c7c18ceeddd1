"""The end of stored files, a batch at a time: marked, their copies and bytes gone, then the rows."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
import structlog

from orchestrator.errors import SandglassError
from orchestrator.storage import holds
from orchestrator.storage.blobs import DirectoryBlobs
from orchestrator.storage.clock import Clock
from orchestrator.storage.database import Database, to_the_end
from orchestrator.storage.disk_sweep import delete_blobs
from orchestrator.storage.tables import files, owners
from orchestrator.storage.workspaces import Copy, DirectoryWorkspaces, newest_copies, remove_copies

log = structlog.get_logger(__name__)

type _Copies = Sequence[tuple[str, Sequence[Copy]]]
"""Owner, and what of the workspace is to go."""


def has_ended(now: datetime) -> sa.ColumnElement[bool]:
    """Rows that no reader sees any more: expired, or marked as deleted."""
    return sa.or_(files.c.expires_at <= now, files.c.deleted_at.is_not(None))


class Expiry:
    """Ends rows; one whose workspace copy is out of reach stays marked, for the next sweep."""

    def __init__(
        self, database: Database, blobs: DirectoryBlobs, workspaces: DirectoryWorkspaces, clock: Clock
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._workspaces = workspaces
        self._clock = clock

    async def would_remove(self, seqs: Sequence[int]) -> int:
        """How many workspace copies `end` would remove now."""
        within_reach = sa.and_(files.c.seq.in_(seqs), ~holds.is_claimed(files.c.owner))
        copies = await self._copies(within_reach)
        return await asyncio.to_thread(
            lambda: sum(
                remove_copies(self._workspaces.reached(owner, wanted=False), batch, dry_run=True)
                for owner, batch in copies
            )
        )

    async def end(self, seqs: Sequence[int]) -> int:
        """End the rows `seqs` as far as they have ended now; how many workspace copies went.

        A cancellation waits for the batch, so that nothing is removed past its hold.
        """
        return await to_the_end(self._end(files.c.seq.in_(seqs)))

    async def _end(self, batch: sa.ColumnElement[bool]) -> int:
        marked = sa.and_(batch, files.c.deleted_at.is_not(None))
        holding = sa.select(files.c.owner).where(marked, files.c.workspace_path.is_not(None))
        async with self._database.begin() as connection:
            now, stop_at = self._clock.now(), time.monotonic() + holds.WORK.total_seconds()
            # The lifetime is asked for again: somebody may have extended a file since we read it.
            expired = sa.and_(batch, files.c.deleted_at.is_(None), files.c.expires_at <= now)
            await connection.execute(files.update().where(expired).values(deleted_at=now))
            held = await holds.hold(connection, owners.c.id.in_(holding), now)
        copies = await self._copies(sa.and_(marked, files.c.owner.in_(held.owners)))
        async with self._database.session() as connection:
            ids = (await connection.scalars(sa.select(files.c.file_id).where(marked))).all()
        removed, late = await asyncio.to_thread(_remove, self._workspaces, copies, stop_at)
        await asyncio.to_thread(delete_blobs, self._blobs, ids)
        done = sa.or_(files.c.workspace_path.is_(None), files.c.owner.in_(held.owners - late))
        async with self._database.begin() as connection:
            await connection.execute(files.delete().where(marked, done))
            await holds.release(connection, held)
        return removed

    async def _copies(self, condition: sa.ColumnElement[bool]) -> _Copies:
        async with self._database.session() as connection:
            query = newest_copies(sa.and_(condition, files.c.workspace_path.is_not(None)))
            rows = (await connection.execute(query)).all()
        found: dict[str, list[Copy]] = {}
        for row in rows:
            copy = Copy(path=row.path, size=row.size, mtime_ns=row.mtime_ns)
            found.setdefault(row.owner, []).append(copy)
        return list(found.items())


def _remove(workspaces: DirectoryWorkspaces, copies: _Copies, stop_at: float) -> tuple[int, set[str]]:
    """Remove them until `stop_at` on the monotonic clock; how many, and whose were not reached."""
    removed, late = 0, set()
    for owner, batch in copies:
        if time.monotonic() > stop_at:
            late.add(owner)
            continue
        try:
            removed += remove_copies(workspaces.reached(owner, wanted=False), batch)
        except SandglassError as error:  # one owner's image is no reason to keep everybody's files
            log.warning("workspace out of reach", owner=owner, error=str(error))
            late.add(owner)
    return removed, late
