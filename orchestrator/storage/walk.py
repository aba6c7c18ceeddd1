"""Walk a tree that a stranger made: by directory descriptor, through no link, bounded in entries and memory.

What a file *means* is decided elsewhere; this room only promises not to leave the tree and not to hang.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from orchestrator.domain.files import ManifestEntry, RelativePath, Space

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STAT_BLOCK = 512
_HALF = 1 << 63


class Kind(StrEnum):
    """What an entry is; the values are the words of the reports."""

    FILE = "regular file"
    DIRECTORY = "directory"
    LINK = "symbolic link"
    FIFO = "FIFO"
    SOCKET = "socket"
    DEVICE = "device"
    UNREADABLE = "unreadable"


class Place(StrEnum):
    """Where an entry lies: only what is visible is harvested, everything is counted."""

    VISIBLE = "visible"
    IGNORED = "ignored"
    BURIED = "buried"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One entry; a directory comes after what is in it. `directory` is open until the next is asked for."""

    path: RelativePath
    """From the root; for a buried or ignored entry only that of the directory where it began."""
    name: bytes
    directory: int
    """Descriptor of the directory that holds the entry, for `*at` calls."""
    holder: int
    """Inode of that directory."""
    kind: Kind
    place: Place
    entry: ManifestEntry
    entries: int = 0
    """Of a directory: how many entries it holds."""


@dataclass(slots=True)
class Buried:
    """A directory below the depth limit, with what was not looked at in it."""

    path: RelativePath
    files: int = 0
    size: int = 0


@dataclass(slots=True)
class _Frame:
    """A directory that the walk is in."""

    name: bytes
    identity: tuple[int, int]
    entry: ManifestEntry
    path: RelativePath
    place: Place
    depth: int
    entries: int = 0
    pending: list[tuple[bytes, os.stat_result]] = field(default_factory=list)


class Walk:
    """One pass over `root`; iterate it once, then read what it counted.

    Holds at most four descriptors however deep the tree is. Entries that vanish are no error. After
    `max_entries` it stops and says so in `stopped`.
    """

    def __init__(self, root: Path, *, depth: int, max_entries: int) -> None:
        self.bytes_used = 0
        self.inodes_used = 0
        self.stopped = False
        self.buried: list[Buried] = []
        self._root = root
        self._depth = depth
        self._left = max_entries
        self._closed = False
        self._bound: Space | None = None
        self._linked: set[tuple[int, int]] = set()
        self._frames: list[_Frame] = []

    def count(self, bound: Space) -> bool:
        """Take the pass for its counts alone, up to `bound`; False where the entries were too many."""
        self._bound = bound
        for _ in self:
            pass
        return not self.stopped or self._is_past_bound()

    def _is_past_bound(self) -> bool:
        bound = self._bound
        return bound is not None and (self.bytes_used > bound.bytes or self.inodes_used > bound.inodes)

    def __iter__(self) -> Iterator[Found]:
        root = os.open(self._root, _DIRECTORY)
        here = os.dup(root)
        try:
            status = os.fstat(root)
            self._frames.append(_frame(b"", status, path=b"", place=Place.VISIBLE, depth=0))
            yield from self._scan(here)
            while self._frames:
                frame = self._frames[-1]
                if frame.pending and not self.stopped:
                    name, status = frame.pending.pop()
                    inside = self._enter(here, name)
                    if inside is None:
                        if self._closed:
                            yield self._found(here, name, Kind.UNREADABLE, entry_of(status))
                        continue
                    os.close(here)
                    here = inside
                    yield from self._scan(here)
                    continue
                self._frames.pop()
                if not self._frames:
                    return
                here = self._leave(root, here)
                if self._frames[-1].identity == _identity(os.fstat(here)):
                    yield self._found(here, frame.name, Kind.DIRECTORY, frame.entry, directory=frame)
        finally:
            os.close(here)
            os.close(root)

    def _scan(self, here: int) -> Iterator[Found]:
        """Yield what is not a directory, in order of name, and remember the directories for later."""
        frame = self._frames[-1]
        others: list[tuple[bytes, Kind, ManifestEntry]] = []
        try:
            with os.scandir(here) as listing:
                for item in listing:
                    if self._left <= 0 or self._is_past_bound():
                        self.stopped = True
                        break
                    self._left -= 1
                    frame.entries += 1
                    try:
                        status = item.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    self._count(status)
                    name = os.fsencode(item.name)
                    if stat.S_ISDIR(status.st_mode):
                        frame.pending.append((name, status))
                    elif self._bound is None:
                        others.append((name, _kind(status.st_mode), entry_of(status)))
        except PermissionError:
            others.append((b"", Kind.UNREADABLE, frame.entry))
        frame.pending.sort(key=_first, reverse=True)
        others.sort(key=_first)
        for name, kind, entry in others:
            self._bury(frame, kind, entry)
            yield self._found(here, name, kind, entry)

    def _enter(self, here: int, name: bytes) -> int | None:
        """Open a subdirectory and stand in it; None when it is gone or became something else."""
        above = self._frames[-1]
        try:
            inside = os.open(name, _DIRECTORY, dir_fd=here)
        except OSError as error:
            self._closed = error.errno == errno.EACCES
            return None
        opened = os.fstat(inside)
        place, path = self._place(above, name)
        self._frames.append(_frame(name, opened, path=path, place=place, depth=above.depth + 1))
        if place is Place.BURIED and above.place is Place.VISIBLE:
            self.buried.append(Buried(path))
        return inside

    def _place(self, above: _Frame, name: bytes) -> tuple[Place, RelativePath]:
        if above.place is not Place.VISIBLE:
            return above.place, above.path
        path = above.path + b"/" + name if above.path else name
        if name.startswith(b".") or name == b"__pycache__":
            return Place.IGNORED, path
        return (Place.BURIED if above.depth >= self._depth else Place.VISIBLE), path

    def _leave(self, root: int, here: int) -> int:
        """Return a descriptor of the directory above, `here` closed; from the root again if it was moved."""
        wanted = self._frames[-1].identity
        try:
            above = os.open(b"..", _DIRECTORY, dir_fd=here)
        except OSError:
            above = os.dup(root)
        os.close(here)
        if _identity(os.fstat(above)) == wanted:
            return above
        os.close(above)
        return self._descend(root)

    def _descend(self, root: int) -> int:
        """Somebody moved a directory under us: keep what is still where it was, forget the rest."""
        here = os.dup(root)
        for level, frame in enumerate(self._frames[1:], start=1):
            inside = None
            with suppress(OSError):
                inside = os.open(frame.name, _DIRECTORY, dir_fd=here)
            if inside is None or _identity(os.fstat(inside)) != frame.identity:
                if inside is not None:
                    os.close(inside)
                del self._frames[level:]
                return here
            os.close(here)
            here = inside
        return here

    def _found(
        self, here: int, name: bytes, kind: Kind, entry: ManifestEntry, *, directory: _Frame | None = None
    ) -> Found:
        above = self._frames[-1]
        path = above.path
        if above.place is Place.VISIBLE and name:
            path = path + b"/" + name if path else name
        return Found(
            path=path,
            name=name,
            directory=here,
            holder=above.entry.inode,
            kind=kind,
            place=directory.place if directory else above.place,
            entry=entry,
            entries=directory.entries if directory else 0,
        )

    def _count(self, status: os.stat_result) -> None:
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            if _identity(status) in self._linked:
                return
            self._linked.add(_identity(status))
        self.inodes_used += 1
        self.bytes_used += status.st_blocks * _STAT_BLOCK

    def _bury(self, frame: _Frame, kind: Kind, entry: ManifestEntry) -> None:
        if frame.place is Place.BURIED and kind is Kind.FILE:
            self.buried[-1].files += 1
            self.buried[-1].size += entry.size


def open_directory(root: int, parts: list[bytes]) -> int:
    """Open a directory below `root`, one component at a time and through no link; the caller closes it."""
    here = os.dup(root)
    try:
        for part in parts:
            inside = os.open(part, _DIRECTORY, dir_fd=here)
            os.close(here)
            here = inside
    except OSError:
        os.close(here)
        raise
    return here


def open_root(root: Path) -> int:
    """Open the top of a tree; a link in its place is refused by the kernel (ENOTDIR)."""
    return os.open(root, _DIRECTORY)


def entry_of(status: os.stat_result) -> ManifestEntry:
    """What identifies this version of a file."""
    return ManifestEntry(
        inode=_signed(status.st_ino),
        size=status.st_size,
        mtime_ns=_signed(status.st_mtime_ns),
        ctime_ns=_signed(status.st_ctime_ns),
    )


def _signed(number: int) -> int:
    """Fold to what the index can hold: a program may set a time past 64 bits of nanoseconds."""
    return number if -_HALF <= number < _HALF else (number + _HALF) % (2 * _HALF) - _HALF


def _frame(name: bytes, status: os.stat_result, *, path: bytes, place: Place, depth: int) -> _Frame:
    return _Frame(
        name=name, identity=_identity(status), entry=entry_of(status), path=path, place=place, depth=depth
    )


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _first(item: tuple[bytes, object] | tuple[bytes, object, object]) -> bytes:
    return item[0]


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISLNK(mode):
        return Kind.LINK
    if stat.S_ISFIFO(mode):
        return Kind.FIFO
    return Kind.SOCKET if stat.S_ISSOCK(mode) else Kind.DEVICE
