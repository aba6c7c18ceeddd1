"""Which images this process uses: a shared lock on each, which the kernel drops when the process dies."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class _Use:
    descriptor: int
    last: float


class Uses:
    """By owner, with when each was last wanted; safe for threads."""

    def __init__(self) -> None:
        self._uses: dict[str, _Use] = {}
        self._mutex = threading.Lock()

    def __contains__(self, owner: str) -> bool:
        return owner in self._uses

    def __len__(self) -> int:
        return len(self._uses)

    def __iter__(self) -> Iterator[str]:
        """The least recently wanted first."""
        with self._mutex:
            return iter(sorted(self._uses, key=lambda owner: self._uses[owner].last))

    def renew(self, owner: str, *, wanted: bool) -> bool:
        """Whether it is used here; from now on again, if it is `wanted`."""
        with self._mutex:
            use = self._uses.get(owner)
            if use is not None and wanted:
                use.last = time.monotonic()
            return use is not None

    def begin(self, owner: str, image: Path, *, wanted: bool) -> None:
        """Keep other processes from unmounting it; one that is not `wanted` is the first to go."""
        if self.renew(owner, wanted=wanted):
            return
        descriptor = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        with self._mutex:
            self._uses[owner] = _Use(descriptor, time.monotonic() if wanted else float("-inf"))

    def end(self, owner: str, *, idle: float = 0.0) -> None:
        """Give it up, if nobody wanted it for `idle` seconds."""
        with self._mutex:
            use = self._uses.get(owner)
            if use is not None and time.monotonic() - use.last >= idle:
                os.close(self._uses.pop(owner).descriptor)

    def is_shared(self, owner: str) -> bool:
        """Whether another process uses it as well."""
        descriptor = self._uses[owner].descriptor
        if not locked_alone(descriptor):
            return True
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return False


def locked_alone(descriptor: int) -> bool:
    """Lock a file for ourselves alone; False while somebody else has a lock on it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
