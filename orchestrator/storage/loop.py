"""A workspace as an ext4 image of its owner's own, so that the kernel itself bounds its bytes and inodes.

The image `images/<owner>.ext4` is mounted at `workspaces/<owner>` while somebody needs it, and everything
else sees a directory there. An owner keeps the kind of workspace they have; the setting decides for new ones.
Everything here blocks, and any thread of any process over the same data directory may do it.
"""

import os
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import structlog

from orchestrator.domain.limits import MIB, Limits
from orchestrator.domain.outcomes import DiskLimit
from orchestrator.errors import ConfigurationError, StorageFault
from orchestrator.storage import mounts
from orchestrator.storage.exclusive import exclusive
from orchestrator.storage.image_room import ImageRoom
from orchestrator.storage.uses import Uses, locked_alone
from orchestrator.storage.walk import open_root

log = structlog.get_logger(__name__)

_LAST_CONTAINER_SECONDS = 3.0
"""How long after a container's death its mounts may take to go."""
_LEAST = 16 * MIB
_INODE = 256
"""Bytes that a new file system needs for itself, and for each inode."""


class LoopImages:
    """The images of one data directory; `makes_new` where an owner without a workspace is to get one."""

    def __init__(
        self,
        directory: Path,
        workspaces: Path,
        limits: Limits,
        *,
        makes_new: bool,
        at_once: int = 64,
        idle: float = 300.0,
    ) -> None:
        self._directory = directory
        self._workspaces = workspaces
        self._limits = limits
        self._makes_new = makes_new
        self._at_once = at_once
        self._idle = idle
        self._uses = Uses()
        self._room = ImageRoom()
        self._is_seen = False

    def reach(self, owner: str, *, wanted: bool = True) -> None:
        """Have the owner's image mounted at their workspace; nothing for one who has a plain directory.

        With `wanted`, a new owner gets one, and it stays mounted for a while.
        """
        image, point = self._image(owner), self._workspaces / owner
        if self._uses.renew(owner, wanted=wanted) and os.path.ismount(point):
            return
        is_new = wanted and (self._makes_new or self._is_in_use) and not os.path.lexists(point)
        if not (is_new or image.exists()):
            return
        with self._alone():
            if not image.exists():
                if os.path.lexists(point):
                    return
                if not self._makes_new:
                    point.mkdir(mode=0o700, parents=True)  # under the lock, so that nobody makes both
                    return
                self._make(image)
                self._try(image, point)
            self._uses.begin(owner, image, wanted=wanted)
            self._mount(image, point)
            self._make_room()

    def full(self, owner: str) -> DiskLimit | None:
        """What the kernel has nothing left of to give in it; None for one who has a plain directory."""
        return self._room.full(owner, self._workspaces / owner) if owner in self._uses else None

    def pending(self) -> int:
        """Bytes that were written into the images of this process and not yet taken from the disk below.

        The kernel takes them later, by gigabytes: a disk that looks free may have been promised already.
        """
        return sum(
            self._room.pending(owner, self._workspaces / owner, self._image(owner)) for owner in self._uses
        )

    def is_spare(self, owner: str) -> bool:
        """Whether a workspace holds nothing, and the next one would be another or a new one."""
        try:
            return (self._makes_new or self._image(owner).exists()) and not os.listdir(
                self._workspaces / owner
            )
        except OSError:
            return False

    def retire(self, owner: str) -> None:
        """Remove an image that holds nothing; an empty directory too, where the next is to be an image.

        While no execution of its owner can begin: whoever only makes a standby finds another one.
        """
        image, point = self._image(owner), self._workspaces / owner
        if not self.is_spare(owner):
            return
        with self._alone(), suppress(OSError):  # OSError: it is not empty
            if not image.exists():
                if not mounts.is_bound(point):
                    point.rmdir()
            elif os.path.ismount(point) and not os.listdir(point):
                self._let_go(owner, idle=self._idle)
                if self._unmount(owner):
                    image.unlink()
                    point.rmdir()

    def tidy(self, idle: float | None = None) -> None:
        """Unmount what was not used for `idle` seconds, or by a process that died, if no container has it."""
        if not self._is_in_use:
            return
        with self._alone():
            for owner in self._uses:
                self._let_go(owner, idle=self._idle if idle is None else idle)
            root = str(self._workspaces.resolve())
            for one in mounts.table():
                parent, _, owner = one.point.rpartition("/")
                if parent == root and owner not in self._uses:
                    self._unmount(owner)

    def close(self) -> None:
        """Unmount everything of ours; what a container still has stays for a later process to find."""
        deadline = time.monotonic() + _LAST_CONTAINER_SECONDS
        while True:
            self.tidy(idle=0)
            is_late = time.monotonic() > deadline
            for owner in self._uses:
                if is_late or self._uses.is_shared(owner):
                    self._uses.end(owner)
            if not self._uses:
                return
            time.sleep(0.05)

    @property
    def _is_in_use(self) -> bool:
        return self._directory.exists()

    def _alone(self) -> AbstractContextManager[None]:
        """The one lock under which images are made, mounted, unmounted and removed, in any process."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return exclusive(self._directory / ".lock")

    def _image(self, owner: str) -> Path:
        return self._directory / f"{owner}.ext4"

    def _make(self, image: Path) -> None:
        """Whole or not at all: under another name, durable, then renamed."""
        if os.geteuid() != 0:
            raise ConfigurationError(
                "Only root can mount workspaces as images: run the orchestrator as root, "
                "or set SANDGLASS_WORKSPACE_BACKEND=directory."
            )
        if self._limits.workspace_bytes < _LEAST + _INODE * self._limits.workspace_inodes:
            raise ConfigurationError(
                f"An image of {self._limits.workspace_bytes} bytes has no room for "
                f"{self._limits.workspace_inodes} inodes: raise SANDGLASS_WORKSPACE_BYTES, "
                "or set SANDGLASS_WORKSPACE_BACKEND=directory."
            )
        made = self._directory / ".new"
        with open(made, "wb", opener=_private) as file:
            file.truncate(self._limits.workspace_bytes)
            mounts.make_file_system(
                made, size=self._limits.workspace_bytes, inodes=self._limits.workspace_inodes
            )
            os.fsync(file.fileno())
        made.rename(image)
        directory = open_root(self._directory)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _try(self, image: Path, point: Path) -> None:
        """Mount a new image; where that is refused it goes again, so that its owner can have a directory."""
        try:
            self._mount(image, point)
        except BaseException:
            image.unlink()
            with suppress(OSError):
                point.rmdir()
            raise

    def _mount(self, image: Path, point: Path) -> None:
        point.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.path.ismount(point):  # by another process, or by one that died
            if mounts.backing_file(mounts.device_of(point)) != str(image.resolve()):
                raise StorageFault(
                    f"Something else is mounted at {point}: move that mount elsewhere, and try again."
                )
            return
        if os.listdir(point):
            raise StorageFault(
                f"The workspace {point} holds files, and an image of it exists as well: "
                f"move away one of the two ({image} is the other), and try again."
            )
        # Were the image ever not mounted, a container would find a directory that it cannot write to.
        os.chown(point, 0, 0)
        os.chmod(point, 0o700)
        mounts.mount(image, point)
        if not (self._is_seen or mounts.engine_sees(point.resolve())):
            mounts.unmount(point)
            raise ConfigurationError(
                f"The Docker Engine does not see what is mounted under {self._workspaces}: run the "
                "orchestrator in the mount namespace of the engine, "
                "or set SANDGLASS_WORKSPACE_BACKEND=directory."
            )
        self._is_seen = True
        _remove_lost_and_found(point)

    def _let_go(self, owner: str, *, idle: float) -> None:
        """Give up the hold on one that was not used for `idle` seconds and is in no container."""
        if not self._is_bound(owner):
            self._uses.end(owner, idle=idle)

    def _make_room(self) -> None:
        """Past the bound, the least recently used go, but none that may be on its way into a container."""
        for owner in self._uses:
            if len(self._uses) <= self._at_once:
                return
            self._let_go(owner, idle=min(self._idle, 30.0))
            if owner not in self._uses:
                self._unmount(owner)

    def _unmount(self, owner: str) -> bool:
        """Unmount one that no process holds and no container has; under the lock."""
        if owner in self._uses:
            return False
        try:
            with open(self._image(owner), "rb") as image:
                if not locked_alone(image.fileno()) or self._is_bound(owner):
                    return False
                mounts.unmount(self._workspaces / owner)
        except (OSError, StorageFault) as error:
            log.debug("workspace stays mounted", owner=owner, reason=str(error))
            return False
        return True

    def _is_bound(self, owner: str) -> bool:
        """Whether a container has the image."""
        point = self._workspaces / owner
        return os.path.ismount(point) and mounts.is_bound(point)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _remove_lost_and_found(point: Path) -> None:
    """The maker's directory, not the owner's: root's and empty."""
    root = open_root(point)
    try:
        with suppress(OSError):
            if os.stat("lost+found", dir_fd=root, follow_symlinks=False).st_uid == 0:
                os.rmdir("lost+found", dir_fd=root)
    finally:
        os.close(root)
