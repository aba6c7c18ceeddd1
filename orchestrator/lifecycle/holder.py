"""Who holds a lease, so that a holder known to be dead on this very host is not waited for."""

import os
from pathlib import Path


def this_process() -> str:
    """`<boot id>:<pid>:<start time>`, unique for a process even when its pid is used again."""
    pid = os.getpid()
    return f"{_boot_id()}:{pid}:{_start_time(pid)}"


def is_surely_dead(holder: str) -> bool:
    """True when the holder was a process of this host that is gone; False whenever that cannot be known.

    A container has its own pid namespace but the host's boot id, so its pids are only
    believed from a process in the same namespace; the namespace is part of the boot id here.
    """
    boot, _, rest = holder.partition(":")
    pid, _, started = rest.partition(":")
    if boot != _boot_id() or not pid.isdigit():
        return False
    return _start_time(int(pid)) != started


def _boot_id() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink().name.strip('pid:[]')}"


def _start_time(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "gone"
    return stat.rpartition(")")[2].split()[19]
