"""Open files that have no name in their workspace: no walk sees them, and they take its disk all the same."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from orchestrator.domain.files import Space

_STAT_BLOCK = 512
_PROC = Path("/proc")
_INSIDE = "root/workspace"
"""The workspace of a process in a sandbox, whose root is read-only and never changes."""


def unnamed_space(workspace: Path) -> Space:
    """What programs in this workspace hold open there that was removed, or never had a name. Blocks.

    What is neither in a directory nor behind a descriptor (only mapped, or on its way through a socket) is
    not seen. Nothing is where the processes are not ours to see: in another pid namespace, inside gVisor.
    """
    top = os.stat(workspace)
    found: dict[int, int] = {}
    for process in _processes_in(top):
        for status in _open_files(process):
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 0 and status.st_dev == top.st_dev:
                found[status.st_ino] = status.st_blocks * _STAT_BLOCK
    return Space(bytes=sum(found.values()), inodes=len(found))


def _processes_in(workspace: os.stat_result) -> Iterator[Path]:
    """Its owner's, by the uid, which a program cannot change, where this is their workspace."""
    for name in os.listdir(_PROC):
        process = _PROC / name
        if not name.isdecimal():
            continue
        with suppress(OSError):  # it has ended
            # The directory of a process that forbids its dump is root's, whoever the process is.
            if process.stat().st_uid not in {workspace.st_uid, 0} or _uid(process) != workspace.st_uid:
                continue
            # Another installation on this host gives the same uids.
            if os.path.samestat((process / _INSIDE).stat(), workspace):
                yield process


def _uid(process: Path) -> int:
    _, _, after = (process / "status").read_text(errors="replace").partition("\nUid:")
    return int(after.split(maxsplit=1)[0])


def _open_files(process: Path) -> Iterator[os.stat_result]:
    with suppress(OSError), os.scandir(process / "fd") as descriptors:  # it has ended
        for descriptor in descriptors:
            with suppress(OSError):  # it was closed
                yield descriptor.stat()
