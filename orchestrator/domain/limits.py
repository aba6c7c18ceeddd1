"""The numbers of the lockdown and of the harvest. A caller may tighten time only; nothing loosens them."""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
MB = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """What may run at once, in all processes over one data directory: executions, and bytes of memory."""

    slots: int
    memory: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of one execution; bytes, seconds and counts."""

    memory: int = GIB
    cpus: float = 1.0
    pids: int = 128
    wall_seconds: float = 60.0
    nofile: int = 1024
    tmpfs: int = 256 * MIB
    shm: int = 64 * MIB
    output_keep: int = 64 * KIB
    """Bytes kept of the head and, again, of the tail of each stream."""
    output_kill: int = 64 * MIB
    """Bytes of both streams together past which the container is killed."""
    file_bytes: int = 50 * MB
    harvest_files: int = 100
    harvest_bytes: int = 200 * MB
    workspace_bytes: int = GIB
    workspace_inodes: int = 20_000
    depth: int = 32
    """Directory levels below the workspace that a harvest follows."""
