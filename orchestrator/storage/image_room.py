"""What a mounted image still has to give, and what it was promised of the disk below. All of it blocks."""

import os
import time
from contextlib import suppress
from pathlib import Path

from orchestrator.domain.limits import MIB
from orchestrator.domain.outcomes import DiskLimit
from orchestrator.storage.walk import open_root

_STAT_BLOCK = 512
_A_MOMENT = 1.0
"""Seconds: what was full earlier than that before a death was not its cause."""
_LARGEST_PIECE = 8 * MIB
"""A kernel with large folios grants this much of a write as a whole or not at all: so much may be left."""


class ImageRoom:
    """Looks at images that are mounted, by owner, and remembers for a moment which it saw full."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[DiskLimit, float]] = {}

    def full(self, owner: str, point: Path) -> DiskLimit | None:
        """What the kernel has, or a moment ago had, nothing left of to give; no program can feign it.

        A file without a name is freed with the program that fails for it, so `pending` looks as well.
        """
        seen, moment = self._seen.pop(owner, (None, 0.0))
        now = _full(os.statvfs(point))
        return now or (seen if time.monotonic() - moment < _A_MOMENT else None)

    def pending(self, owner: str, point: Path, image: Path) -> int:
        """Bytes that were written into the image and not yet taken from the disk below."""
        with suppress(OSError):  # it has just been given up
            root = open_root(point)
            try:
                if os.fstat(root).st_dev == os.stat(image).st_dev:
                    return 0  # nothing is mounted
                inside = os.fstatvfs(root)
            finally:
                os.close(root)
            if (full := _full(inside)) is not None:
                self._seen[owner] = full, time.monotonic()
            used = (inside.f_blocks - inside.f_bfree) * inside.f_frsize
            return max(0, used - os.stat(image).st_blocks * _STAT_BLOCK)
        return 0


def _full(room: os.statvfs_result) -> DiskLimit | None:
    crumbs = min(_LARGEST_PIECE, room.f_blocks * room.f_frsize // 32)
    if room.f_bavail * room.f_frsize < crumbs:
        return DiskLimit.BYTES
    return DiskLimit.INODES if room.f_ffree == 0 else None
