"""The kernel's own word that a fork was refused: one line of its log for a group's first refusal.

The group's counter vanishes with it at the moment of death, and cgroup v1 sends no event when it moves; the
log keeps. A container cannot write to it. Where it may not be read there is simply no evidence.
"""

import os
import re

KERNEL_LOG = "/dev/kmsg"
_REFUSED = re.compile(rb"fork rejected by pids controller in \S*?([0-9a-f]{64})")
_RECORD = 8192
"""The kernel gives one record a read, and none is longer."""
_MOST_RECORDS = 10_000
"""Read at once; a log that grows faster than this is not worth waiting for."""


class PidsWatch:
    """One reader of the log for all containers; never waits, so it may be used on the event loop."""

    def __init__(self) -> None:
        self._refused: set[str] = set()
        self._watched: set[str] = set()
        try:
            self._log = os.open(KERNEL_LOG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._log, 0, os.SEEK_END)
        except OSError:
            self._log = -1

    def watch(self, container_id: str) -> None:
        """Begin for a container that has not been given its code yet."""
        self._watched.add(container_id)

    def take(self, container_id: str) -> bool:
        """Was a fork refused since `watch`? Forgets the container."""
        self._read()
        self._watched.discard(container_id)
        refused = container_id in self._refused
        self._refused.discard(container_id)
        return refused

    def _read(self) -> None:
        for _ in range(_MOST_RECORDS if self._log >= 0 else 0):
            try:
                record = os.read(self._log, _RECORD)
            except BrokenPipeError:
                continue  # the log overtook us; the next read goes on with its oldest record
            except OSError:
                return  # nothing more
            found = _REFUSED.search(record)
            if found and (container_id := found[1].decode()) in self._watched:
                self._refused.add(container_id)

    def close(self) -> None:
        """Let go of the log."""
        if self._log >= 0:
            os.close(self._log)
            self._log = -1
