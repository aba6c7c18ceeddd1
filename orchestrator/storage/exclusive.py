"""One at a time, in all processes of this host, by a lock that the kernel drops with its holder."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import StorageFault
from orchestrator.storage.uses import locked_alone

_SECONDS = 120.0


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, made where it is not there; blocks, and raises `StorageFault` in the end."""
    with open(path, "ab") as lock:
        deadline = time.monotonic() + _SECONDS
        while not locked_alone(lock.fileno()):
            if time.monotonic() > deadline:
                raise StorageFault(
                    f"Another process has kept {path} locked for {_SECONDS:g} s: "
                    "see what it does, then try again."
                )
            time.sleep(0.005)
        yield
