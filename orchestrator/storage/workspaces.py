"""The owners' directories on this host: one uid each, surveyed before an execution and harvested after it."""

import asyncio
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from orchestrator.domain.files import Harvest, Manifest, RelativePath, Space, StoredFile
from orchestrator.domain.limits import Limits
from orchestrator.errors import InvalidRequest, SandglassError, StorageFault
from orchestrator.storage.blobs import DirectoryBlobs
from orchestrator.storage.clock import Clock
from orchestrator.storage.database import Database
from orchestrator.storage.harvest import Circumstances, harvest_tree, measure_tree, survey_tree
from orchestrator.storage.holds import is_under_way
from orchestrator.storage.loop import LoopImages
from orchestrator.storage.staging import Staging
from orchestrator.storage.tables import files as files_table
from orchestrator.storage.tables import owners
from orchestrator.storage.unnamed import unnamed_space
from orchestrator.storage.walk import entry_of, open_directory, open_root

_BATCH = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Copy:
    """The version of a file that a row of the index saw in a workspace."""

    path: RelativePath
    size: int
    mtime_ns: int


class DirectoryWorkspaces:
    """Workspaces as plain directories `workspaces/<owner>/`, mode 0700, owned by the owner's uid."""

    def __init__(  # noqa: PLR0917 - the composition root names the parts in this order, once
        self,
        root: Path,
        staging_root: Path,
        database: Database,
        blobs: DirectoryBlobs,
        clock: Clock,
        ttl: timedelta | None,
        uid_base: int,
        *,
        images: LoopImages | None = None,
    ) -> None:
        self.root = root
        self.staging = Staging(staging_root, blobs)
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._ttl = ttl
        self._uid_base = uid_base
        self._images = images

    async def open(self, owner: str) -> tuple[Path, int]:
        """The owner's workspace and uid, made on first use; copies of files that ended are gone from it."""
        path, uid = self.path(owner), await self._uid(owner)
        with _disk_faults(self.root):
            await asyncio.to_thread(lambda: _prepare(self.reached(owner), uid))
        await self.expire(owner)
        return path, uid

    async def survey(self, owner: str, limits: Limits) -> Manifest:
        """The manifest of the workspace as it is now."""
        with _disk_faults(self.root):
            return await asyncio.to_thread(lambda: survey_tree(self.reached(owner), limits))

    async def usage(self, owner: str, limits: Limits, bound: Space) -> Space:
        """What the workspace takes up while a program may be changing it; past `bound` counting ends."""
        path = self.path(owner)
        with _disk_faults(self.root):
            named = await asyncio.to_thread(measure_tree, path, limits, bound)
            unnamed = await asyncio.to_thread(unnamed_space, path)
        return Space(bytes=named.bytes + unnamed.bytes, inodes=named.inodes + unnamed.inodes)

    async def room(self) -> Space:
        """What is free on their disk and was promised to no image; no inodes where it does not count them."""
        with _disk_faults(self.root):
            return await asyncio.to_thread(self._room)

    async def harvest(self, owner: str, before: Manifest, limits: Limits) -> Harvest:
        """Write blobs of what is new or changed since `before`; only when the container is dead."""
        now = self._clock.now()
        circumstances = Circumstances(
            owner=owner,
            before=before,
            limits=limits,
            known=await self._known(owner) if before.entries else {},
            now=now,
            expires_at=None if self._ttl is None else now + self._ttl,
        )
        with _disk_faults(self.root):
            return await asyncio.to_thread(self._harvest, circumstances)

    async def stage(self, execution_id: str, owner: str, files: Sequence[StoredFile]) -> Path:
        """A directory with `<file_id>/<filename>` for each file, to be mounted read-only at /inputs."""
        _refuse_foreign(owner, files)
        with _disk_faults(self.root):
            return await asyncio.to_thread(self.staging.stage, execution_id, files)

    async def fill(self, standby_id: str, owner: str, files: Sequence[StoredFile]) -> None:
        """Put the files into a directory that was staged empty and is mounted; a fault if it is gone."""
        _refuse_foreign(owner, files)
        with _disk_faults(self.root):
            await asyncio.to_thread(self.staging.fill, standby_id, files)

    async def unstage(self, execution_id: str) -> None:
        """Remove what was staged; no error where nothing was."""
        with _disk_faults(self.root):
            await asyncio.to_thread(self.staging.unstage, execution_id)

    async def staged(self) -> Sequence[str]:
        """The execution ids that have a staging directory."""
        return await asyncio.to_thread(self.staging.staged)

    async def expire(self, owner: str) -> int:
        """Remove the workspace copies of this owner's expired and deleted files; one query where are none."""
        whose = {"whose": owner, "now": self._clock.now()}
        async with self._database.session() as connection:
            rows = (await connection.execute(_expired_copies(), whose)).all()
        if not rows:
            return 0
        copies = [Copy(path=row.path, size=row.size, mtime_ns=row.mtime_ns) for row in rows]
        removed = await asyncio.to_thread(lambda: remove_copies(self.reached(owner), copies))
        async with self._database.begin() as connection:
            await connection.execute(
                files_table.update().where(_expired()).values(workspace_path=None), whose
            )
        return removed

    def path(self, owner: str) -> Path:
        """Where the owner's workspace lies or would lie."""
        if not owner or owner in {".", ".."} or "/" in owner or "\0" in owner:
            raise InvalidRequest(f"The owner {owner[:80]!r} is not usable: use letters, digits and dashes.")
        return self.root / owner

    def reached(self, owner: str, *, wanted: bool = True) -> Path:
        """Where the owner's workspace lies, mounted if it is an image. Blocks.

        With `wanted` it stays so for a while, and a new owner gets one.
        """
        path = self.path(owner)
        if self._images is not None:
            self._images.reach(owner, wanted=wanted)
        return path

    def is_spare(self, owner: str) -> bool:
        """Whether `retire` would remove something. Blocks."""
        return self._images is not None and self._images.is_spare(owner)

    def retire(self, owner: str) -> None:
        """Remove the image of a workspace that holds nothing, while no execution can begin. Blocks."""
        if self._images is not None:
            self._images.retire(owner)

    async def tidy(self) -> None:
        """Unmount images that nobody uses."""
        if self._images is not None:
            await asyncio.to_thread(self._images.tidy)

    async def close(self) -> None:
        """Unmount what this process has mounted."""
        if self._images is not None:
            await asyncio.to_thread(self._images.close)

    def _room(self) -> Space:
        free = os.statvfs(self.root)
        pending = 0 if self._images is None else self._images.pending()
        return Space(bytes=free.f_bavail * free.f_frsize - pending, inodes=free.f_favail)

    def _harvest(self, circumstances: Circumstances) -> Harvest:
        owner = circumstances.owner
        harvest = harvest_tree(self.reached(owner), self._blobs, circumstances)
        full = None if self._images is None else self._images.full(owner)
        return replace(harvest, disk_limit=full or harvest.disk_limit)

    async def _uid(self, owner: str) -> int:
        async with self._database.session() as connection:
            uid = await connection.scalar(sa.select(owners.c.uid).where(owners.c.id == owner))
        return int(uid) if uid is not None else await self._allocate(owner)

    async def _allocate(self, owner: str) -> int:
        """The next uid, never given before; the writing transaction makes this compare-and-set."""
        async with self._database.begin() as connection:
            uid = await connection.scalar(sa.select(owners.c.uid).where(owners.c.id == owner))
            if uid is None:
                highest = await connection.scalar(sa.select(sa.func.max(owners.c.uid)))
                uid = max(self._uid_base, (highest or 0) + 1)
                await connection.execute(
                    owners.insert().values(id=owner, uid=uid, created_at=self._clock.now())
                )
            return int(uid)

    async def _known(self, owner: str) -> dict[RelativePath, str]:
        """The sha256 of the newest version of each path, for files of which only ctime or inode moved."""
        query = (
            sa.select(files_table.c.workspace_path, files_table.c.sha256)
            .where(
                files_table.c.owner == owner,
                files_table.c.deleted_at.is_(None),
                files_table.c.workspace_path.is_not(None),
            )
            .order_by(files_table.c.seq)
        )
        async with self._database.session() as connection:
            return {row.workspace_path: row.sha256 for row in await connection.execute(query)}


def _refuse_foreign(owner: str, files: Sequence[StoredFile]) -> None:
    foreign = [file.file_id for file in files if not file.file_id.startswith(f"{owner}_")]
    if foreign:
        raise StorageFault(
            f"{foreign[0]} is not a file of {owner}, so nothing was staged; this is a defect: report it."
        )


@cache
def _expired_copies() -> sa.Select[tuple[str, bytes, int, int]]:
    """Put together once: every execution asks it first."""
    return newest_copies(_expired())


def _expired() -> sa.ColumnElement[bool]:
    """Files of the owner `whose` that are over at `now`, and may have a copy in the workspace."""
    whose = sa.bindparam("whose", type_=sa.String)
    return sa.and_(
        files_table.c.owner == whose,
        sa.or_(files_table.c.expires_at <= sa.bindparam("now"), files_table.c.deleted_at.is_not(None)),
        files_table.c.workspace_path.is_not(None),
        # Who warms up beside a running program leaves its files alone.
        ~is_under_way(whose),
    )


def newest_copies(condition: sa.ColumnElement[bool]) -> sa.Select[tuple[str, bytes, int, int]]:
    """Rows that meet `condition` and have no younger version of their path: the workspace copy is theirs."""
    younger = files_table.alias()
    newest = ~sa.exists().where(
        younger.c.owner == files_table.c.owner,
        younger.c.workspace_path == files_table.c.workspace_path,
        younger.c.seq > files_table.c.seq,
    )
    return sa.select(
        files_table.c.owner,
        files_table.c.workspace_path.label("path"),
        files_table.c.ws_size.label("size"),
        files_table.c.ws_mtime_ns.label("mtime_ns"),
    ).where(condition, newest)


def remove_copies(workspace: Path, copies: Sequence[Copy], *, dry_run: bool = False) -> int:
    """Unlink each copy that is still the version of its row, and directories that become empty. Blocks.

    Size and mtime are compared: where only ctime or inode moved, the last harvest has settled by hash
    that it is the same, or has made a younger row.
    """
    removed = 0
    with suppress(FileNotFoundError):
        root = open_root(workspace)
        try:
            removed = sum(_remove_copy(root, copy, dry_run=dry_run) for copy in copies)
        finally:
            os.close(root)
    return removed


def _remove_copy(root: int, copy: Copy, *, dry_run: bool) -> bool:
    *above, name = copy.path.split(b"/")
    try:
        directory = open_directory(root, above)
    except OSError:
        return False  # moved, removed, or a link by now: not the file that was stored
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        entry = entry_of(status)
        if not stat.S_ISREG(status.st_mode) or (entry.size, entry.mtime_ns) != (copy.size, copy.mtime_ns):
            return False
        if not dry_run:
            os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return False
    finally:
        os.close(directory)
    if not dry_run:
        _remove_empty(root, above)
    return True


def _remove_empty(root: int, parts: list[bytes]) -> None:
    """Remove the directory `parts` and those above it as far as they are empty; the workspace stays."""
    for level in range(len(parts), 0, -1):
        try:
            above = open_directory(root, parts[: level - 1])
        except OSError:
            return
        try:
            os.rmdir(parts[level - 1], dir_fd=above)
        except OSError:
            return  # not empty
        finally:
            os.close(above)


def _prepare(path: Path, uid: int) -> None:
    """Make the directory, and make it private to its uid again where a program has changed that."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    try:
        descriptor = open_root(path)
    except OSError as error:
        raise StorageFault(
            f"The workspace {path} is not a real directory: move away what lies there, and try again."
        ) from error
    try:
        status = os.fstat(descriptor)
        if (status.st_uid, status.st_gid) != (uid, uid):
            os.fchown(descriptor, uid, uid)
        if stat.S_IMODE(status.st_mode) != 0o700:
            os.fchmod(descriptor, 0o700)
    except PermissionError as error:
        raise StorageFault(
            "A workspace belongs to a uid of its owner's own, which only root can give: "
            "run the orchestrator as root."
        ) from error
    finally:
        os.close(descriptor)


@contextmanager
def _disk_faults(root: Path) -> Iterator[None]:
    """Turn the disk's refusals into a `StorageFault` with the remedy."""
    try:
        yield
    except OSError as error:
        if isinstance(error, SandglassError):
            raise
        raise StorageFault(
            f"The workspaces under {root} cannot be used ({error.strerror or error}): "
            "check the room on that disk and who owns it, then try again."
        ) from error
