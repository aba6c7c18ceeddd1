"""The quota of a workspace: nothing starts far over it, and a program that goes past it is ended.

The workspace is a plain directory, so nobody but us counts what is in it. Counting is a walk over the
tree; a glance at the free room of the whole disk costs microseconds and says when a walk is due.
"""

import asyncio

import structlog

from orchestrator.domain.files import Space
from orchestrator.domain.limits import GIB, MIB, Limits
from orchestrator.domain.outcomes import DiskLimit, KillReason
from orchestrator.errors import StorageFault, WorkspaceFull
from orchestrator.lifecycle.world import Job, World

log = structlog.get_logger(__name__)

_GLANCE = 0.1
"""Seconds between two glances at the disk; a program that is over before the first pays nothing."""
_QUICK = 0.02
_TENTH = 0.1
"""The same from where the disk has lost so much of what the workspace had left at the last walk."""
_LOOK = 0.5
"""Seconds after which the workspace is walked at the latest, if a walk is cheap."""
_REST = 20
"""So many times its own length passes between two walks; a disk that fills up shortens it to `_HURRY`."""
_HURRY = 2
_HALF = 0.5
"""A walk is due early when the disk has lost so much of what the workspace has left."""
_LEAD = 0.3
"""Seconds by which whoever is seen to fill the disk is ended before those who are not."""


def require_room(used: Space, limits: Limits) -> None:
    """Raise `WorkspaceFull` for what is more than half over its quota.

    Up to there code is let in, because deleting is its owner's way out; it may not make more of it.
    """
    if 2 * used.bytes > 3 * limits.workspace_bytes or 2 * used.inodes > 3 * limits.workspace_inodes:
        raise WorkspaceFull(
            f"The workspace holds {_size(used.bytes)} in {used.inodes} files and may hold "
            f"{_size(limits.workspace_bytes)} in {limits.workspace_inodes}: delete stored files "
            "(`/delete`, `sandglass files rm`) or what was never stored (`sandglass files clear`)."
        )


class QuotaWatch:
    """Watches one workspace, and the disk under it, while one program runs."""

    def __init__(self, world: World, job: Job, before: Space) -> None:
        self.reached: DiskLimit | None = None
        """Why the program was ended, when it was."""
        self._workspaces = world.workspaces
        self._clock = world.clock
        self._reserve = world.disk_reserve
        self._job = job
        limits = job.limits
        # Whoever begins over the quota needs a little room to delete in, and gets no more than that.
        self._slack = Space(bytes=limits.workspace_bytes // 64, inodes=limits.workspace_inodes // 64)
        self._bound = Space(
            bytes=max(limits.workspace_bytes, before.bytes + self._slack.bytes),
            inodes=max(limits.workspace_inodes, before.inodes + self._slack.inodes),
        )
        self._before = self._used = before
        self._room_then: Space | None = None
        self._walked_at = self._clock.monotonic()
        self._walk_took = 0.0
        self._short_since: float | None = None
        self._pause = _GLANCE

    async def watch(self) -> None:
        """Look on until the program is over, or has to be."""
        while self.reached is None:
            await asyncio.sleep(self._pause)
            try:
                self.reached = await self._glance()
            except StorageFault as error:
                log.warning("workspace not measured", owner=self._job.request.owner, error=str(error))
        self._job.control.stop(KillReason.DISK)

    async def _glance(self) -> DiskLimit | None:
        room = await self._workspaces.room()
        if room.bytes >= self._reserve:
            self._short_since = None
        elif self._short_since is None:
            self._short_since = self._clock.monotonic()
        if self._is_due(room):
            await self._walk(room)
            if self._used.bytes > self._bound.bytes:
                return DiskLimit.BYTES
            if self._used.inodes > self._bound.inodes:
                return DiskLimit.INODES
        return DiskLimit.RESERVE if self._is_in_the_way() else None

    def _is_due(self, room: Space) -> bool:
        """Whether time for a walk has come, or what the disk has lost may be more than is left here."""
        passed = self._clock.monotonic() - self._walked_at
        if passed >= max(_LOOK, _REST * self._walk_took):
            return True
        if self._room_then is None:
            self._room_then = room
        share = max(
            _share(self._room_then.bytes - room.bytes, self._bound.bytes - self._used.bytes),
            _share(self._room_then.inodes - room.inodes, self._bound.inodes - self._used.inodes),
        )
        self._pause = _QUICK if share >= _TENTH else _GLANCE
        if share >= 1:
            return True
        return (share >= _HALF or self._short_since is not None) and passed >= _HURRY * self._walk_took

    async def _walk(self, room: Space) -> None:
        begun = self._clock.monotonic()
        self._used = await self._workspaces.usage(self._job.request.owner, self._job.limits, self._bound)
        self._room_then = room
        self._walked_at = self._clock.monotonic()
        self._walk_took = self._walked_at - begun

    def _is_in_the_way(self) -> bool:
        """Whether the disk is short of its reserve, and this program fills it, or nobody is seen to.

        Disk can be taken where nobody looks: then everybody has to go, a little later.
        """
        if self._short_since is None:
            return False
        if self._used.bytes > self._before.bytes + self._slack.bytes:
            return True
        return self._clock.monotonic() - self._short_since >= _LEAD


def _share(lost: int, left: int) -> float:
    return lost / max(left, 1)


def _size(count: int) -> str:
    return f"{count / GIB:.2f} GiB" if count >= GIB else f"{count / MIB:.1f} MiB"
