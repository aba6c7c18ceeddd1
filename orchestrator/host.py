"""What this host gives: a private data directory, room on its disk, slots by its cores and memory."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from orchestrator.domain.limits import Capacity
from orchestrator.errors import ConfigurationError, DiskReserveReached
from orchestrator.lifecycle.standby import Bounds
from orchestrator.settings import Settings

_MEMORY_SHARE = 0.8
_SLOTS_PER_CORE = 2
"""A short execution is made and removed for longer than it computes: one a core would leave cores idle."""
_STANDBY_SHARE = 0.25
"""Of the host's memory, counted by limits, of which a standby that waits uses about a tenth."""


def prepare_data_dir(root: Path) -> str:
    """Make the private data directory and return the id of this installation."""
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        root.chmod(0o700)
        marker = root / "instance"
        if not marker.exists():
            with suppress(FileExistsError), marker.open("x") as file:
                file.write(secrets.token_hex(8))
        return marker.read_text().strip()
    except OSError as error:
        raise ConfigurationError(
            f"The data directory {root} is not usable ({error.strerror}): set SANDGLASS_DATA_DIR elsewhere."
        ) from error


def check_disk(settings: Settings) -> None:
    """Raise `DiskReserveReached` when less than the reserve is free; blocks for one system call."""
    stat = os.statvfs(settings.data_dir)
    if stat.f_bavail * stat.f_frsize < settings.disk_reserve:
        reserve = settings.disk_reserve // 1_000_000
        raise DiskReserveReached(
            f"Less than {reserve} MB are free on the disk: free some, or lower SANDGLASS_DISK_RESERVE."
        )


def capacity_of(settings: Settings) -> Capacity:
    """What may run at once: slots by this host's cores, memory by a share of its own, unless settings say."""
    by_cores = int((os.cpu_count() or 1) * _SLOTS_PER_CORE // settings.cpus)
    return Capacity(
        slots=settings.slots or max(1, by_cores),
        memory=settings.total_memory or int(_memory() * _MEMORY_SHARE),
    )


def standbys_of(settings: Settings) -> Bounds:
    """How many standbys this host carries beside what runs."""
    return Bounds(
        count=settings.standby_count,
        memory=settings.standby_memory or int(_memory() * _STANDBY_SHARE),
        idle=settings.standby_idle,
    )


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
