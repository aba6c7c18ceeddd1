"""Stored files, manifests and what a harvest brings home."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from orchestrator.domain.outcomes import DiskLimit

type RelativePath = bytes
"""A path below a workspace as the kernel has it: bytes, `/`-separated, never starting with `/`."""


def new_file_id(owner: str, now: datetime) -> str:
    """Return `{owner}_{unix seconds}_{8 hex}`; the index settles uniqueness and asks again on a clash."""
    return f"{owner}_{int(now.timestamp())}_{secrets.token_hex(4)}"


class StoredFile(BaseModel):
    """A file of an owner as results and listings show it; times are aware UTC."""

    model_config = ConfigDict(frozen=True)

    file_id: str
    filename: str
    path: str
    type: str
    media_type: str
    size: int
    sha256: str
    created_at: datetime
    expires_at: datetime | None


class SkippedFile(BaseModel):
    """Something in the workspace that was not stored, and why."""

    model_config = ConfigDict(frozen=True)

    path: str
    size: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestEntry:
    """What identifies one version of a file without reading it."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """An amount of disk, used or free; `bytes` are those of allocated blocks, so a hole costs nothing."""

    bytes: int
    inodes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The regular files of a workspace at one moment, with what they use in all."""

    entries: Mapping[RelativePath, ManifestEntry]
    bytes_used: int
    inodes_used: int

    @property
    def used(self) -> Space:
        """What the workspace took up at that moment."""
        return Space(bytes=self.bytes_used, inodes=self.inodes_used)


@dataclass(frozen=True, kw_only=True, slots=True)
class Harvest:
    """What came out of a workspace: blobs already written, rows not yet."""

    files: tuple["HarvestedFile", ...]
    skipped: tuple[SkippedFile, ...]
    disk_limit: DiskLimit | None = None
    """The bound of disk that the workspace, or a file in it, was found at."""

    @property
    def disk_full(self) -> bool:
        """Whether it was found at one."""
        return self.disk_limit is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class HarvestedFile:
    """A stored file with where its workspace copy lies, so that both expire together."""

    file: StoredFile
    workspace_path: RelativePath
    entry: ManifestEntry


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepReport:
    """What a sweep did, or would do."""

    dry_run: bool
    started_at: datetime
    duration: float
    expired_files: int
    expired_bytes: int
    workspace_files: int
    empty_directories: int
    orphan_blobs: int
    missing_blobs: int
    stale_staging: int


type OnSweep = Callable[[str, int, int], None]
"""Told what a sweep is at, how much of that is done, and of how much in all."""
