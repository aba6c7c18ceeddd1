"""Bytes of stored files, one file each below `blobs/<2 hex>/`; what they mean is in the index."""

import asyncio
import ctypes
import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

from orchestrator.errors import FileTooLarge, InvalidRequest, StorageFault

type Source = bytes | BinaryIO | Path

HEAD_BYTES = 4096
_CHUNK = 1 << 20
_FILE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}_[0-9]{1,12}_([0-9a-f]{2})[0-9a-f]{6}")
# More files than this are flushed by one syncfs(2) instead of one fsync(2) each.
_SYNC_ALL_FROM = 8
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Blob:
    """What was counted while copying: `size` in bytes, `sha256` in hex, and the first 4096 bytes."""

    size: int
    sha256: str
    head: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedBlob:
    """A blob that is written but has no name yet; `publish` or `discard` it."""

    blob: Blob
    temporary: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class BlobEntry:
    """One blob as the store lists it."""

    file_id: str
    size: int
    modified_at: datetime


class BlobStore(Protocol):
    """Where bytes live; a directory here, an object store elsewhere."""

    async def put(self, file_id: str, source: Source, max_bytes: int) -> Blob:
        """Store whole and durably, or not at all; `FileExistsError` for a taken id, else `FileTooLarge`."""
        ...

    async def open(self, file_id: str) -> BinaryIO:
        """The bytes for reading; `FileNotFoundError` where there is no such blob."""
        ...

    async def delete(self, file_id: str) -> bool:
        """False where it was gone already."""
        ...

    async def list(self) -> Sequence[BlobEntry]:
        """Every blob, in no order."""
        ...


class DirectoryBlobs:
    """Blobs as read-only files: written beside, flushed, then linked into place, never over another.

    The plain methods block and are for a thread that writes many (`stage` each, `publish` all);
    the asynchronous ones are for everybody else.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._temporary = root / ".tmp"

    def path(self, file_id: str) -> Path:
        """Where the blob lies or would lie, for reading or hard-linking; raises `InvalidRequest`."""
        match = _FILE_ID.fullmatch(file_id)
        if match is None:
            raise InvalidRequest(f"{file_id[:120]!r} is not a file id: take one from `sandglass files ls`.")
        return self.root / match[1] / file_id

    async def put(self, file_id: str, source: Source, max_bytes: int) -> Blob:
        """Store `source` under a new id; see `BlobStore.put`."""
        return await asyncio.to_thread(self._put, file_id, source, max_bytes)

    async def open(self, file_id: str) -> BinaryIO:
        """Open a blob for reading; the caller closes it."""
        return await asyncio.to_thread(_open_regular, self.path(file_id))

    async def delete(self, file_id: str) -> bool:
        """Remove a blob; False where it was gone already."""
        with _storage_faults(self.root):
            return await asyncio.to_thread(_unlink, self.path(file_id))

    async def list(self) -> list[BlobEntry]:
        """Every blob, in no order; what is still being written is not one."""
        with _storage_faults(self.root):
            return await asyncio.to_thread(lambda: list(self._entries()))

    def stage(self, source: Source, max_bytes: int) -> StagedBlob:
        """Copy to a temporary file, counting; nothing is left behind on an error. Blocks."""
        with _storage_faults(self.root):
            temporary = self._temporary / secrets.token_hex(12)
            descriptor = self._create(temporary)
            try:
                with open(descriptor, "wb") as target:
                    os.fchmod(descriptor, 0o444)
                    return StagedBlob(blob=_copy(source, target, max_bytes), temporary=temporary)
            except BaseException:
                _unlink(temporary)
                raise

    def publish(self, staged: Sequence[tuple[str, StagedBlob]]) -> None:
        """Flush and name every staged blob. Blocks.

        Raises `FileExistsError` when an id is taken: those before it are named, it and those after
        it are still staged, and the caller tries again with another id or discards.
        """
        with _storage_faults(self.root):
            self._flush([blob.temporary for _, blob in staged])
            touched = set()
            try:
                for file_id, blob in staged:
                    target = self.path(file_id)
                    if target.parent not in touched:
                        target.parent.mkdir(exist_ok=True)
                        touched.add(target.parent)
                    # A link, not a rename: a rename would silently take another file's place.
                    os.link(blob.temporary, target)
                    _unlink(blob.temporary)
            finally:
                if touched:
                    self._flush([*touched, self.root])

    def withdraw(self, file_id: str, staged: StagedBlob) -> None:
        """Undo `publish` of one blob: it is staged again, with its temporary name. Blocks."""
        with _storage_faults(self.root):
            self.path(file_id).rename(staged.temporary)

    def discard_stale(self, before: datetime) -> int:
        """Remove what a dead process left half-written before a moment; how many. Blocks."""
        count = 0
        for path in self._temporary.glob("*"):
            with suppress(FileNotFoundError):  # its writer lives and has just finished
                if path.stat().st_mtime < before.timestamp():
                    count += _unlink(path)
        return count

    def discard(self, staged: StagedBlob) -> None:
        """Forget a staged blob; no error when it was published or is gone. Blocks."""
        _unlink(staged.temporary)

    def _put(self, file_id: str, source: Source, max_bytes: int) -> Blob:
        self.path(file_id)
        staged = self.stage(source, max_bytes)
        try:
            self.publish([(file_id, staged)])
        finally:
            self.discard(staged)
        return staged.blob

    def _create(self, temporary: Path) -> int:
        # 0444: a sandbox reads hard links of it under another uid; the data directory itself is closed.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            return os.open(temporary, flags, 0o444)
        except (
            FileNotFoundError
        ):  # the first one ever; asking before each costs as much as the copy of a small file
            self._temporary.mkdir(parents=True, exist_ok=True)
            return os.open(temporary, flags, 0o444)

    def _flush(self, paths: Sequence[Path]) -> None:
        if len(paths) < _SYNC_ALL_FROM:
            for path in paths:
                with _descriptor(path) as descriptor:
                    os.fsync(descriptor)
            return
        with _descriptor(self.root) as descriptor:
            if _libc.syncfs(descriptor) != 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))

    def _entries(self) -> Iterator[BlobEntry]:
        for directory in self.root.glob("[0-9a-f][0-9a-f]"):
            for entry in directory.iterdir():
                with suppress(FileNotFoundError):  # deleted while we list
                    found = entry.stat(follow_symlinks=False)
                    yield BlobEntry(
                        file_id=entry.name,
                        size=found.st_size,
                        modified_at=datetime.fromtimestamp(found.st_mtime, UTC),
                    )


def _copy(source: Source, target: BinaryIO, max_bytes: int) -> Blob:
    digest, size, head = hashlib.sha256(), 0, b""
    with reading(source) as reader:
        while chunk := reader.read(_CHUNK):
            size += len(chunk)
            if size > max_bytes:
                raise too_large(max_bytes)
            if len(head) < HEAD_BYTES:
                head += chunk[: HEAD_BYTES - len(head)]
            digest.update(chunk)
            target.write(chunk)
    return Blob(size=size, sha256=digest.hexdigest(), head=head)


def too_large(max_bytes: int) -> FileTooLarge:
    """The refusal of a file of more than `max_bytes`."""
    return FileTooLarge(
        f"The file is larger than {max_bytes / 1_000_000:g} MB, the most that one stored file "
        "may have: split or compress it."
    )


@contextmanager
def reading(source: Source) -> Iterator[BinaryIO]:
    """The source as something to read from; raises `InvalidRequest` for what is no readable file. Blocks."""
    match source:
        case bytes():
            yield BytesIO(source)
        case Path():
            try:
                reader = _open_regular(source)
            except OSError as error:
                raise InvalidRequest(
                    f"{source} cannot be read ({error.strerror}): name a regular file."
                ) from error
            with reader:
                yield reader
        case _:
            yield source


def _open_regular(path: Path) -> BinaryIO:
    # Non-blocking, so that a FIFO in the place of a file cannot hold the thread.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return open(descriptor, "rb")


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _storage_faults(root: Path) -> Iterator[None]:
    """Turn the disk's refusals into a `StorageFault`; a taken or missing name stays what it is."""
    try:
        yield
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError as error:
        raise StorageFault(_sentence(error, root)) from error


def _sentence(error: OSError, root: Path) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"The disk under {root} is full: free some room (`sandglass sweep` removes what has expired)."
    return f"The blob store {root} refused an operation ({error.strerror}): check the disk and its owner."
