"""What lies in workspaces and is no stored file: once it is older than a lifetime it goes as well."""

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from orchestrator.storage import holds
from orchestrator.storage.clock import Clock
from orchestrator.storage.database import Database, to_the_end
from orchestrator.storage.disk_sweep import Leavings, clear_leavings, old_entries
from orchestrator.storage.tables import files, owners
from orchestrator.storage.workspaces import DirectoryWorkspaces

_BATCH = 500


class WorkspaceSweep:
    """Clears workspaces, each only while no execution of its owner can touch it."""

    def __init__(self, database: Database, workspaces: DirectoryWorkspaces, clock: Clock) -> None:
        self._database = database
        self._workspaces = workspaces
        self._clock = clock

    def owners(self) -> list[str]:
        """Whoever has a workspace on this disk, known to the index or not. Blocks."""
        try:
            with os.scandir(self._workspaces.root) as listing:
                return sorted(entry.name for entry in listing if entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []

    async def reach(self, owner: str) -> Path:
        """Where the workspace lies, mounted if it is an image; raises `StorageFault` for a damaged one."""
        return await asyncio.to_thread(lambda: self._workspaces.reached(owner, wanted=False))

    async def clear(self, owner: str, before: datetime, *, dry_run: bool) -> Leavings:
        """Remove what is older than `before` and named by no row, and directories left empty.

        Nothing in the workspace of an owner who has an execution past its claim; `busy` where somebody
        else is removing from it.
        """
        path = await self.reach(owner)
        old = await asyncio.to_thread(old_entries, path, before)
        kept = await self._live_among(owner, old.files)
        if not old.others and len(kept) == len(old.files):
            if not dry_run and await asyncio.to_thread(self._workspaces.is_spare, owner):
                return await to_the_end(self._clear(owner, before))
            return Leavings()
        if dry_run:
            if await self._is(holds.is_claimed(sa.literal(owner))):
                return Leavings()
            return await asyncio.to_thread(clear_leavings, path, before, kept, dry_run=True)
        return await to_the_end(self._clear(owner, before))

    async def _clear(self, owner: str, before: datetime) -> Leavings:
        async with self._database.begin() as connection:
            stop_at = time.monotonic() + holds.WORK.total_seconds()
            held = await holds.hold(connection, owners.c.id == owner, self._clock.now())
        unknown = not held.owners and not await self._is(sa.exists().where(owners.c.id == owner))
        if not held.owners:
            if await self._is(holds.is_claimed(sa.literal(owner))):
                return Leavings()
            if not unknown:
                return Leavings(busy=True)
        path = self._workspaces.path(owner)
        try:
            # Looked at again: what was nobody's a moment ago may have been harvested before we held it.
            kept = await self._live_among(owner, (await asyncio.to_thread(old_entries, path, before)).files)
            leavings = await asyncio.to_thread(
                clear_leavings, path, before, kept, dry_run=False, stop_at=stop_at
            )
            await asyncio.to_thread(self._workspaces.retire, owner)
        finally:
            async with self._database.begin() as connection:
                await holds.release(connection, held)
        if unknown:
            with suppress(OSError):  # not empty yet
                await asyncio.to_thread(os.rmdir, path)
        return leavings

    async def _live_among(self, owner: str, paths: Sequence[bytes]) -> set[bytes]:
        """Which of these workspace paths a row still names; expired rows were dealt with before."""
        live: set[bytes] = set()
        for start in range(0, len(paths), _BATCH):
            query = sa.select(files.c.workspace_path).where(
                files.c.owner == owner, files.c.workspace_path.in_(paths[start : start + _BATCH])
            )
            async with self._database.session() as connection:
                live |= set((await connection.scalars(query)).all())
        return live

    async def _is(self, condition: sa.ColumnElement[bool]) -> bool:
        async with self._database.session() as connection:
            return bool(await connection.scalar(sa.select(condition)))
