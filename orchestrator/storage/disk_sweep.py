"""The disk's half of a sweep: list blobs in batches, clear a workspace of what outlived its lifetime."""

import math
import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from orchestrator.domain.limits import Limits
from orchestrator.errors import InvalidRequest, StorageFault
from orchestrator.storage.blobs import DirectoryBlobs
from orchestrator.storage.walk import Found, Kind, Place, Walk

# More than any quota lets a program leave; bounds the memory of a walk. The rest is for the next sweep.
_MAX_ENTRIES = 100_000
_TEMPORARY = ".tmp"


@dataclass(slots=True)
class Leavings:
    """What was removed from a workspace, or would be."""

    files: int = 0
    directories: int = 0
    busy: bool = False
    """Nothing was, for somebody else is removing from it now."""


def blob_directories(blobs: DirectoryBlobs) -> list[Path]:
    """Where blobs lie; at most 256 directories. Blocks."""
    if not blobs.root.is_dir():
        return []
    return sorted(entry for entry in blobs.root.iterdir() if entry.is_dir() and entry.name != _TEMPORARY)


def old_blobs(blobs: DirectoryBlobs, directory: Path, older_than: datetime) -> list[str]:
    """Ids of one directory by their mtime: staging a link moves the ctime. Blocks."""
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


def missing_blobs(blobs: DirectoryBlobs, file_ids: Sequence[str]) -> list[str]:
    """Those that are not there; a disk that cannot say raises `StorageFault` instead. Blocks."""
    missing = []
    for file_id in file_ids:
        try:
            os.stat(blobs.path(file_id))
        except FileNotFoundError:
            missing.append(file_id)
        except OSError as error:
            raise StorageFault(
                f"The blob store {blobs.root} cannot be read ({error.strerror}): "
                "check its disk, then sweep again."
            ) from error
    return missing


def owner_of(file_id: str) -> str:
    """Whose file it is, by its id alone."""
    return file_id.rsplit("_", 2)[0]


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Old:
    """What a workspace holds from before a moment: visible regular files, and whether anything else."""

    files: Sequence[bytes]
    others: bool


def old_entries(workspace: Path, before: datetime) -> Old:
    """What is old by its ctime, which no program can set. Blocks."""
    files, others = [], False
    for found in _everything(workspace):
        if not found.name or not _is_old(found, before):
            continue
        if found.kind is Kind.FILE and found.place is Place.VISIBLE:
            files.append(found.path)
        else:
            others |= found.kind is not Kind.DIRECTORY or not found.entries
    return Old(files=files, others=others)


def clear_leavings(
    workspace: Path,
    before: datetime,
    kept: Collection[bytes],
    *,
    dry_run: bool,
    stop_at: float = math.inf,
) -> Leavings:
    """Remove what is older than `before` and not in `kept`, then directories that are or became empty.

    Stops at `stop_at` on the monotonic clock; the next sweep goes on. Blocks.
    """
    leavings = Leavings()
    removed: Counter[int] = Counter()
    for found in _everything(workspace):
        if time.monotonic() > stop_at:
            break
        if not _may_go(found, before, kept, removed[found.entry.inode]):
            continue
        if not dry_run and not _remove(found):
            continue
        removed[found.holder] += 1
        if found.kind is Kind.DIRECTORY:
            leavings.directories += 1
        else:
            leavings.files += 1
    return leavings


def _may_go(found: Found, before: datetime, kept: Collection[bytes], emptied: int) -> bool:
    old = _is_old(found, before)
    if found.kind is Kind.DIRECTORY:
        return found.entries <= emptied and (old or emptied > 0)
    return bool(found.name) and old and not (found.place is Place.VISIBLE and found.path in kept)


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


def _is_blob(blobs: DirectoryBlobs, name: str) -> bool:
    try:
        blobs.path(name)
    except InvalidRequest:
        return False  # not ours: somebody else put it here, so we leave it
    return True
