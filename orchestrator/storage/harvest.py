"""Bring home what a dead container left: new and changed files become blobs, the rest is reported.

Everything here blocks and is meant for one thread per harvest.
"""

import os
import stat
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from orchestrator.domain.files import (
    Harvest,
    HarvestedFile,
    Manifest,
    ManifestEntry,
    RelativePath,
    SkippedFile,
    Space,
    StoredFile,
    new_file_id,
)
from orchestrator.domain.limits import MB, Limits
from orchestrator.domain.names import safe_path
from orchestrator.domain.outcomes import DiskLimit
from orchestrator.errors import FileTooLarge, StorageFault
from orchestrator.storage.blobs import DirectoryBlobs, StagedBlob
from orchestrator.storage.filetypes import classify
from orchestrator.storage.walk import Found, Kind, Place, Walk, entry_of

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_REPORTS = 500
_ID_ATTEMPTS = 5


def walk_within(root: Path, limits: Limits) -> Walk:
    """A walk that bears twice the inode quota: the overshoot of a program killed for it, and no more."""
    return Walk(root, depth=limits.depth, max_entries=2 * limits.workspace_inodes)


def survey_tree(root: Path, limits: Limits) -> Manifest:
    """What lies in a workspace now. Blocks; raises `OSError` only where `root` itself is no directory."""
    walk = walk_within(root, limits)
    entries = {
        found.path: found.entry
        for found in walk
        if found.place is Place.VISIBLE and found.kind is not Kind.DIRECTORY
    }
    return Manifest(entries=entries, bytes_used=walk.bytes_used, inodes_used=walk.inodes_used)


def measure_tree(root: Path, limits: Limits, bound: Space) -> Space:
    """What a tree takes up while programs may change it, up to `bound`. Blocks, and raises as `survey_tree`.

    So many names that the walk ends count as an inode too many, however few files they are.
    """
    walk = walk_within(root, limits)
    if walk.count(bound):
        return Space(bytes=walk.bytes_used, inodes=walk.inodes_used)
    return Space(bytes=walk.bytes_used, inodes=max(walk.inodes_used, bound.inodes + 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """What a harvest has to know beside the tree itself."""

    owner: str
    before: Manifest
    limits: Limits
    known: Mapping[RelativePath, str]
    """The sha256 of the newest stored version of each path."""
    now: datetime
    expires_at: datetime | None


def harvest_tree(root: Path, blobs: DirectoryBlobs, circumstances: Circumstances) -> Harvest:
    """Store what is new or changed below `root`; nothing stays in the blob store when it raises. Blocks."""
    harvest = _Harvesting(blobs, circumstances)
    walk = walk_within(root, circumstances.limits)
    try:
        for found in walk:
            if found.place is Place.VISIBLE and found.kind is not Kind.DIRECTORY:
                harvest.consider(found)
        files = harvest.publish()
    finally:
        harvest.discard()
    return Harvest(
        files=files,
        skipped=harvest.reports(walk),
        disk_limit=_reached(walk, circumstances.limits, file_full=harvest.file_full),
    )


def _reached(walk: Walk, limits: Limits, *, file_full: bool) -> DiskLimit | None:
    if walk.bytes_used >= limits.workspace_bytes:
        return DiskLimit.BYTES
    if walk.stopped or walk.inodes_used >= limits.workspace_inodes:
        return DiskLimit.INODES
    return DiskLimit.FILE if file_full else None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Taken:
    """A file that was copied and has no id yet."""

    path: RelativePath
    entry: ManifestEntry
    staged: StagedBlob


@dataclass(slots=True)
class _Harvesting:
    """One harvest under way."""

    _blobs: DirectoryBlobs
    _given: Circumstances
    file_full: bool = False
    _taken: list[_Taken] = field(default_factory=list)
    _bytes: int = 0
    _skipped: list[SkippedFile] = field(default_factory=list)
    _unnamed: Counter[str] = field(default_factory=Counter)
    _unnamed_bytes: int = 0

    def consider(self, found: Found) -> None:
        """Copy the entry, or report why not, or pass over what has not changed."""
        before = self._given.before.entries.get(found.path)
        if before == found.entry:
            return
        if found.kind is not Kind.FILE:
            self._skip(found.path, 0, f"{_article(found.kind)}: only regular files are kept")
            return
        self.file_full |= found.entry.size == self._given.limits.file_bytes
        reason = self._refusal(found.entry.size)
        if reason is not None:
            self._skip(found.path, found.entry.size, reason)
            return
        try:
            self._take(found, in_doubt=before is not None and _looks_the_same(before, found.entry))
        except FileNotFoundError:
            return
        except FileTooLarge:
            self._skip(found.path, found.entry.size, self._too_large())
        except OSError as error:
            # EIO, ELOOP after a swap, EACCES without root: one file's trouble does not cost the others.
            self._skip(found.path, found.entry.size, f"unreadable: {error.strerror or error}")

    def publish(self) -> tuple[HarvestedFile, ...]:
        """Give every copied file its id and make all of them durable at once."""
        left = list(enumerate(self._taken))
        ids: dict[int, str] = {}
        for _ in range(_ID_ATTEMPTS):
            fresh = self._fresh_ids(len(left))
            ids |= {index: file_id for (index, _), file_id in zip(left, fresh, strict=True)}
            try:
                self._blobs.publish([(ids[index], taken.staged) for index, taken in left])
                named = tuple(self._named(taken, ids[index]) for index, taken in enumerate(self._taken))
                self._taken.clear()
                return named
            except FileExistsError:
                left = [(index, taken) for index, taken in left if taken.staged.temporary.exists()]
        raise StorageFault("No free file id was found in five attempts; try again in a second.")

    def discard(self) -> None:
        """Forget copies that were not published."""
        for taken in self._taken:
            self._blobs.discard(taken.staged)

    def reports(self, walk: Walk) -> tuple[SkippedFile, ...]:
        """Everything that was passed over, at most 500 by name and the rest in one line."""
        for buried in walk.buried:
            if buried.files:
                levels = self._given.limits.depth
                reason = f"deeper than {levels} directories: {buried.files} files were not looked at"
                self._skip(buried.path, buried.size, reason)
        if walk.stopped:
            most = 2 * self._given.limits.workspace_inodes
            self._skip(b".", 0, f"more than {most} entries in the workspace: the rest was not looked at")
        if self._unnamed:
            kinds = ", ".join(f"{count} {reason}" for reason, count in self._unnamed.most_common(5))
            rest = SkippedFile(path="...", size=self._unnamed_bytes, reason=f"and more of the same: {kinds}")
            return (*self._skipped, rest)
        return tuple(self._skipped)

    def _take(self, found: Found, *, in_doubt: bool) -> None:
        """Copy through a descriptor that is checked to be the very file that the walk saw."""
        descriptor = os.open(found.name, _READ, dir_fd=found.directory)
        with open(descriptor, "rb", buffering=0) as source:
            status = os.fstat(descriptor)
            entry = entry_of(status)
            if not stat.S_ISREG(status.st_mode) or entry.inode != found.entry.inode:
                self._skip(found.path, found.entry.size, "replaced by something else while it was read")
                return
            reason = self._refusal(entry.size)
            if reason is not None:
                self._skip(found.path, entry.size, reason)
                return
            staged = self._blobs.stage(source, self._given.limits.file_bytes)
        self._keep(_Taken(path=found.path, entry=entry, staged=staged), in_doubt=in_doubt)

    def _keep(self, taken: _Taken, *, in_doubt: bool) -> None:
        blob = taken.staged.blob
        if in_doubt and self._given.known.get(taken.path) == blob.sha256:
            self._blobs.discard(taken.staged)
        elif self._bytes + blob.size > self._given.limits.harvest_bytes:
            self._blobs.discard(taken.staged)
            self._skip(taken.path, blob.size, self._too_much())
        else:
            self._bytes += blob.size
            self._taken.append(taken)

    def _refusal(self, size: int) -> str | None:
        """Why a file of this size is not even opened."""
        limits = self._given.limits
        if size > limits.file_bytes:
            return self._too_large()
        if len(self._taken) >= limits.harvest_files:
            return f"over {limits.harvest_files} files, the most that one execution may give back"
        if self._bytes + size > limits.harvest_bytes:
            return self._too_much()
        return None

    def _too_large(self) -> str:
        return f"larger than {self._given.limits.file_bytes / MB:g} MB, the most that one file may have"

    def _too_much(self) -> str:
        most = self._given.limits.harvest_bytes / MB
        return f"over {most:g} MB in all, the most that one execution may give back"

    def _skip(self, path: RelativePath, size: int, reason: str) -> None:
        if len(self._skipped) < _REPORTS:
            self._skipped.append(SkippedFile(path=safe_path(path), size=size, reason=reason))
        else:
            self._unnamed[reason.partition(":")[0]] += 1
            self._unnamed_bytes += size

    def _fresh_ids(self, count: int) -> list[str]:
        ids: set[str] = set()
        while len(ids) < count:
            ids.add(new_file_id(self._given.owner, self._given.now))
        return list(ids)

    def _named(self, taken: _Taken, file_id: str) -> HarvestedFile:
        path = safe_path(taken.path)
        filename = path.rpartition("/")[2]
        blob = taken.staged.blob
        kind = classify(filename, blob.head)
        stored = StoredFile(
            file_id=file_id,
            filename=filename,
            path=path,
            type=kind.type,
            media_type=kind.media_type,
            size=blob.size,
            sha256=blob.sha256,
            created_at=self._given.now,
            expires_at=self._given.expires_at,
        )
        return HarvestedFile(file=stored, workspace_path=taken.path, entry=taken.entry)


def _looks_the_same(before: ManifestEntry, after: ManifestEntry) -> bool:
    """Only inode or ctime moved: a chmod, a copy put in its place, or timestamps that were set back."""
    return before.size == after.size and before.mtime_ns == after.mtime_ns


def _article(kind: Kind) -> str:
    return kind.value if kind is Kind.UNREADABLE else f"a {kind.value}"
