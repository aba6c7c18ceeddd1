"""What is mounted where, by the kernel's own tables, and the commands that change it. All of it blocks."""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.domain.limits import MIB
from orchestrator.errors import ConfigurationError, StorageFault

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Where the commands are looked for, whatever the caller's PATH says."""
_SECONDS = 120.0
"""Longest that one command may take; an unmount writes what is still in memory."""
_OPTIONS = "loop,nosuid,nodev,discard,noinit_itable,errors=remount-ro"
"""`loop` lets the kernel free the loop device with the last mount; `discard` gives freed blocks back."""
_GROUP = 128 * MIB
_INODES_A_BLOCK = 16
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mounted:
    """One line of a mount table."""

    device: str
    """`major:minor`."""
    root: str
    """What of the file system is mounted, from its top."""
    point: str
    spreads: bool
    """Whether namespaces that were made from this one see it too."""


def table(process: int | str = "self") -> list[Mounted]:
    """What a process sees mounted, its later mounts last; raises `OSError` once it has ended."""
    text = Path(f"/proc/{process}/mountinfo").read_bytes().decode(errors="surrogateescape")
    return [_line(line.split(" ")) for line in text.splitlines()]


def is_bound(directory: Path) -> bool:
    """Whether any process has this very directory mounted elsewhere, as a container has its workspace.

    The same mount at the same place is only what a new namespace copies.
    """
    real = directory.resolve()
    device, inside = device_of(real), _inside(real)
    return any(
        (one.device, one.root) == (device, inside) and one.point != str(real)
        for process in _one_of_each_namespace()
        for one in _table_or_nothing(process)
    )


def engine_sees(point: Path) -> bool:
    """Whether a container can be given it: dockerd has it mounted, or it spreads out of our sight."""
    engines = [process for process in _processes() if _command(process) == "dockerd"]
    if engines:
        return any(one.point == str(point) for process in engines for one in _table_or_nothing(process))
    return any(one.point == str(point) and one.spreads for one in table())


def device_of(path: Path) -> str:
    """`major:minor` of the file system that holds it."""
    device = os.stat(path).st_dev
    return f"{os.major(device)}:{os.minor(device)}"


def backing_file(device: str) -> str | None:
    """The file behind a loop device; None for any other."""
    try:
        return os.fsdecode(Path(f"/sys/dev/block/{device}/loop/backing_file").read_bytes().rstrip(b"\n"))
    except OSError:
        return None


def make_file_system(image: Path, *, size: int, inodes: int) -> None:
    """Make an empty ext4 in a sparse file of `size` bytes, for at most `inodes` files and directories.

    Its tables are left unwritten, because a hole reads as zeros.
    """
    # The maker keeps ten for itself, and fills up a block of inodes in every group.
    spared = _INODES_A_BLOCK * -(-size // _GROUP) - 10
    layout = ["-b", "4096", "-N", str(inodes - spared), "-m", "0", "-J", "size=4"]
    lazily = ["-E", "lazy_itable_init=1,lazy_journal_init=1"]
    _run(["mkfs.ext4", "-q", "-F", *layout, *lazily, "--", str(image)], package="e2fsprogs")


def mount(image: Path, point: Path) -> None:
    """Mount an image; a kernel older than 5.10 has no `nosymfollow` and does without."""
    command = ["mount", "-t", "ext4", "-o"]
    try:
        _run([*command, f"{_OPTIONS},nosymfollow", "--", str(image), str(point)], package="mount")
    except StorageFault:
        _run([*command, _OPTIONS, "--", str(image), str(point)], package="mount")


def unmount(point: Path) -> None:
    """Unmount it; raises `StorageFault` while a process of this host stands in it."""
    _run(["umount", "--", str(point)], package="mount")


def _run(command: Sequence[str], *, package: str) -> None:
    environment = {"PATH": PATH, "LC_ALL": "C"}
    try:
        subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=_SECONDS,
        )
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"The command {command[0]} is missing, and workspaces as images need it: install the Debian "
            f"package {package}, or set SANDGLASS_WORKSPACE_BACKEND=directory."
        ) from error
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        raise StorageFault(
            f"{command[0]} failed for {command[-1]} ({said[0] if said else error}): check the kernel's log "
            "and try again, or set SANDGLASS_WORKSPACE_BACKEND=directory for new owners."
        ) from error


def _inside(real: Path) -> str:
    """Where a directory lies in its file system, as a bind mount of it is listed."""
    place = str(real)
    holder = max(
        (one for one in table() if f"{place}/".startswith(f"{one.point.rstrip('/')}/")),
        key=lambda one: len(one.point),
    )
    rest = place[len(holder.point.rstrip("/")) :]
    return holder.root.rstrip("/") + rest or "/"


def _line(fields: list[str]) -> Mounted:
    return Mounted(
        device=fields[2],
        root=_plain(fields[3]),
        point=_plain(fields[4]),
        spreads=any(field.startswith("shared:") for field in fields[6 : fields.index("-")]),
    )


def _plain(field: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), field)


def _processes() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdecimal()]


def _one_of_each_namespace() -> Iterator[str]:
    seen: set[str] = set()
    for process in _processes():
        namespace = process
        with suppress(OSError):  # of a process that may not be looked at, the table may still be read
            namespace = os.readlink(f"/proc/{process}/ns/mnt")
        if namespace not in seen:
            seen.add(namespace)
            yield process


def _table_or_nothing(process: str) -> list[Mounted]:
    with suppress(OSError):  # it has ended
        return table(process)
    return []


def _command(process: str) -> str:
    with suppress(OSError):
        return Path(f"/proc/{process}/comm").read_text(errors="replace").strip()
    return ""
