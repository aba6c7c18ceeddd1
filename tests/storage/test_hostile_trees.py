"""Any tree that an unprivileged process can make comes home whole or with a reason, and only it."""

import os
import socket
import stat
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.domain.files import Harvest, Manifest
from orchestrator.domain.limits import Limits
from orchestrator.storage.blobs import DirectoryBlobs
from orchestrator.storage.disk_sweep import clear_leavings
from orchestrator.storage.harvest import Circumstances, harvest_tree, survey_tree
from tests.storage.world import NOTHING, TTL, OffsetClock

SECRET = b"a secret of the host that no harvest may bring home"
LIMITS = replace(Limits(), depth=6, harvest_files=15, file_bytes=5_000, harvest_bytes=30_000)

AWKWARD = [
    b"-rf",
    b"~",
    b" ",
    b"...",
    b"CON.txt",
    b"\xff\xfe\x00"[:2],
    b"new\nline",
    b"\x1b[2J",
    "\u202egnp.exe".encode(),
    "\u200b".encode(),
    b"a" * 255,
    "\u00e9".encode() * 127,
    b"`rm`",
    b"@everyone",
    b"__pycache__",
    b".hidden",
    b"a\\b",
]
names = st.one_of(
    st.sampled_from(AWKWARD),
    st.binary(min_size=1, max_size=12)
    .map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"0"))
    .filter(lambda raw: raw not in {b".", b".."}),
)


@dataclass(frozen=True)
class Leaf:
    """One thing in a directory: what, and with which bytes or mode."""

    kind: str
    number: int


KINDS = [
    *("file", "file", "file", "sparse", "fifo", "socket", "closed", "old", "future"),
    *("link out", "link up", "link loop", "link dangling", "hard link"),
]
leaves = st.builds(
    Leaf,
    kind=st.sampled_from(KINDS),
    number=st.integers(0, 6_000),
)
trees = st.recursive(
    st.dictionaries(names, leaves, max_size=5),
    lambda below: st.dictionaries(names, leaves | below, max_size=4),
    max_leaves=12,
)


def plant(tree: dict[bytes, object], here: int, outside: Path) -> None:
    """Make the tree below the descriptor `here`, as a program that uses what the kernel allows."""
    for name, node in tree.items():
        if isinstance(node, dict):
            os.mkdir(name, dir_fd=here)
            below = os.open(name, os.O_DIRECTORY, dir_fd=here)
            try:
                plant(node, below, outside)
                if len(node) % 3 == 2:
                    os.fchmod(below, 0)
            finally:
                os.close(below)
        else:
            assert isinstance(node, Leaf)
            PLANTERS[node.kind](name, here, node.number, outside)


def _file(name: bytes, here: int, number: int, _: Path) -> None:
    descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=here)
    os.write(descriptor, b"x" * number)
    os.close(descriptor)


def _sparse(name: bytes, here: int, number: int, outside: Path) -> None:
    _file(name, here, 0, outside)
    descriptor = os.open(name, os.O_WRONLY, dir_fd=here)
    os.ftruncate(descriptor, 1 << 42)
    os.close(descriptor)


def _closed(name: bytes, here: int, number: int, outside: Path) -> None:
    _file(name, here, number, outside)
    os.chmod(name, 0, dir_fd=here)


def _socket(name: bytes, here: int, *_: object) -> None:
    # A name too long for sun_path is just not made.
    with socket.socket(socket.AF_UNIX) as listener, suppress(OSError):
        listener.bind(os.fsencode(f"/proc/self/fd/{here}/") + name)


def _link_to(target: Callable[[bytes, Path], bytes]) -> Callable[[bytes, int, int, Path], None]:
    def make(name: bytes, here: int, _: int, outside: Path) -> None:
        os.symlink(target(name, outside), name, dir_fd=here)

    return make


def _hard_link(name: bytes, here: int, number: int, outside: Path) -> None:
    twin = b"twin of %d" % (number % 3)
    with suppress(FileExistsError):
        _file(twin, here, number, outside)
    os.link(twin, name, src_dir_fd=here, dst_dir_fd=here)


def _at(moment: int) -> Callable[[bytes, int, int, Path], None]:
    def make(name: bytes, here: int, number: int, outside: Path) -> None:
        _file(name, here, number, outside)
        os.utime(name, ns=(moment, moment), dir_fd=here)

    return make


PLANTERS: dict[str, Callable[[bytes, int, int, Path], None]] = {
    "file": _file,
    "sparse": _sparse,
    "closed": _closed,
    "fifo": lambda name, here, *_: os.mkfifo(name, dir_fd=here),
    "socket": _socket,
    "link out": _link_to(lambda _, outside: os.fsencode(outside / "secret")),
    "link up": _link_to(lambda _, outside: b"../../../.." + os.fsencode(outside)),
    "link loop": _link_to(lambda name, _: name),
    "link dangling": _link_to(lambda _, __: b"nowhere"),
    "hard link": _hard_link,
    "old": _at(-(10**18)),
    "future": _at(13_600_000_000 * 10**9),
}


def regular_files(root: Path) -> set[bytes]:
    """What `os.walk` finds outside caches, as paths below `root`."""
    found = set()
    for above, directories, leaves_here in os.walk(os.fsencode(root)):
        directories[:] = [
            name for name in directories if not name.startswith(b".") and name != b"__pycache__"
        ]
        for name in leaves_here:
            path = above + b"/" + name
            if stat.S_ISREG(os.lstat(path).st_mode):
                found.add(os.path.relpath(path, os.fsencode(root)))
    return found


def harvest(root: Path, blobs: DirectoryBlobs, before: Manifest = NOTHING) -> Harvest:
    now = OffsetClock().now()
    return harvest_tree(
        root,
        blobs,
        Circumstances(owner="alice", before=before, limits=LIMITS, known={}, now=now, expires_at=now + TTL),
    )


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(tree=trees)
def test_any_tree_is_kept_or_reported(tree: dict[bytes, object]) -> None:
    """Within its bounds, without leaving the workspace, and with names that are safe to show and to save."""
    with TemporaryDirectory() as directory:
        outside = Path(directory) / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(SECRET)
        workspace = Path(directory) / "workspace"
        workspace.mkdir()
        here = os.open(workspace, os.O_DIRECTORY)
        with suppress(FileExistsError):  # the twin of a hard link may already be named like a neighbour
            plant(tree, here, outside)
        os.close(here)
        blobs = DirectoryBlobs(Path(directory) / "blobs")
        descriptors = len(list(Path("/proc/self/fd").iterdir()))

        result = harvest(workspace, blobs)

        assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
        check_bounds(result, blobs)
        kept = {found.workspace_path for found in result.files}
        everything = regular_files(workspace)
        assert kept <= everything
        shallow = {path for path in everything if path.count(b"/") <= LIMITS.depth}
        reported = [skipped for skipped in result.skipped if "regular" not in skipped.reason]
        by_name = [skipped for skipped in reported if "deeper" not in skipped.reason]
        assert len(by_name) == len(shallow - kept)
        said = sum(
            int(skipped.reason.split(": ")[1].split()[0])
            for skipped in reported
            if "deeper" in skipped.reason
        )
        assert said == len(everything - shallow)
        again = harvest(workspace, blobs, survey_tree(workspace, LIMITS))
        assert again.files == ()
        check_that_all_can_be_cleared(workspace)
        assert (outside / "secret").read_bytes() == SECRET


def check_bounds(result: Harvest, blobs: DirectoryBlobs) -> None:
    assert len(result.files) <= LIMITS.harvest_files
    assert sum(found.file.size for found in result.files) <= LIMITS.harvest_bytes
    for found in result.files:
        content = blobs.path(found.file.file_id).read_bytes()
        assert SECRET not in content
        assert len(content) == found.file.size <= LIMITS.file_bytes
        assert abs(found.entry.mtime_ns) < 1 << 63
    for name in [found.file.path for found in result.files] + [skipped.path for skipped in result.skipped]:
        assert name
        assert not name.startswith(("/", "-"))
        assert ".." not in name.split("/")
        assert all(unicodedata.category(character) not in {"Cc", "Cf", "Cs"} for character in name)
        assert all(0 < len(part.encode()) <= 255 for part in name.split("/"))
    stored = {path.name for path in blobs.root.rglob("*") if path.is_file()}
    assert stored == {found.file.file_id for found in result.files}


def check_that_all_can_be_cleared(workspace: Path) -> None:
    """The sweep, too, gets rid of every such tree, years later."""
    clear_leavings(workspace, OffsetClock().now() + 10 * TTL, frozenset(), dry_run=False)
    assert list(workspace.iterdir()) == []
