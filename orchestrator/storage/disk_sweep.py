"""The disk's half of a sweep: list blobs in batches, clear a workspace of what outlived its lifetime."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from orchestrator.domain.limits import Limits
from orchestrator.errors import InvalidRequest
from orchestrator.storage.blobs import DirectoryBlobs
from orchestrator.storage.walk import Found, Kind, Place, Walk

# A workspace can hold more than its quota for a moment, and the sweep is what gets rid of it.
_MAX_ENTRIES = 1_000_000
_TEMPORARY = ".tmp"


@dataclass(slots=True)
class Leavings:
    """What was removed from a workspace, or would be."""

    files: int = 0
    directories: int = 0


async def blob_ids(blobs: DirectoryBlobs, *, older_than: datetime, batch: int) -> AsyncIterator[list[str]]:
    """The ids of blobs last written before `older_than`, `batch` at a time."""
    directories = await asyncio.to_thread(_blob_directories, blobs.root)
    for directory in directories:
        ids = await asyncio.to_thread(_old_blobs, blobs, directory, older_than)
        for start in range(0, len(ids), batch):
            yield ids[start : start + batch]


def clear_temporary(blobs: DirectoryBlobs, older_than: datetime, *, dry_run: bool) -> int:
    """Remove what a process that died left half written before `older_than`; how many."""
    abandoned = 0
    with suppress(FileNotFoundError):
        for path in (blobs.root / _TEMPORARY).iterdir():
            with suppress(FileNotFoundError):
                if path.lstat().st_mtime < older_than.timestamp():
                    abandoned += 1
                    if not dry_run:
                        path.unlink()
    return abandoned


def delete_blobs(blobs: DirectoryBlobs, file_ids: Sequence[str]) -> None:
    """Unlink each; no error for one that is gone."""
    for file_id in file_ids:
        with suppress(FileNotFoundError):
            blobs.path(file_id).unlink()


def old_files(workspace: Path, before: datetime) -> list[bytes]:
    """Paths of visible regular files whose ctime, which no program can set, is before `before`."""
    return [
        found.path
        for found in _everything(workspace)
        if found.kind is Kind.FILE and found.place is Place.VISIBLE and _is_old(found, before)
    ]


def clear_leavings(workspace: Path, before: datetime, kept: Collection[bytes], *, dry_run: bool) -> Leavings:
    """Remove what is older than `before` and not in `kept`, then directories that are or became empty."""
    leavings = Leavings()
    removed: Counter[int] = Counter()
    for found in _everything(workspace):
        if found.kind is Kind.DIRECTORY:
            emptied = removed[found.entry.inode]
            if found.entries > emptied or not (emptied or _is_old(found, before)):
                continue
        elif (
            not found.name
            or not _is_old(found, before)
            or (found.place is Place.VISIBLE and found.path in kept)
        ):
            continue
        if not dry_run and not _remove(found):
            continue
        removed[found.holder] += 1
        if found.kind is Kind.DIRECTORY:
            leavings.directories += 1
        else:
            leavings.files += 1
    return leavings


def _remove(found: Found) -> bool:
    try:
        if found.kind is Kind.DIRECTORY:
            os.rmdir(found.name, dir_fd=found.directory)
        else:
            os.unlink(found.name, dir_fd=found.directory)
    except OSError:
        return False  # gone, or filled again; the next sweep looks once more
    return True


def _everything(workspace: Path) -> Iterator[Found]:
    with suppress(FileNotFoundError):
        yield from Walk(workspace, depth=Limits().depth, max_entries=_MAX_ENTRIES)


def _is_old(found: Found, before: datetime) -> bool:
    return found.entry.ctime_ns < before.timestamp() * 1e9


def _blob_directories(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and entry.name != _TEMPORARY)


def _old_blobs(blobs: DirectoryBlobs, directory: Path, older_than: datetime) -> list[str]:
    """Blobs of one directory; mtime, because staging a link moves the ctime."""
    ids = []
    with os.scandir(directory) as listing:
        for entry in listing:
            try:
                old = entry.stat(follow_symlinks=False).st_mtime < older_than.timestamp()
            except FileNotFoundError:
                continue
            if old and _is_blob(blobs, entry.name):
                ids.append(entry.name)
    return ids


def _is_blob(blobs: DirectoryBlobs, name: str) -> bool:
    try:
        blobs.path(name)
    except InvalidRequest:
        return False  # not ours: somebody else put it here, so we leave it
    return True
