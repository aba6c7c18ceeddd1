"""What comes home from a workspace, and what is only reported."""

import hashlib
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.domain.files import Harvest, Manifest
from orchestrator.domain.limits import Limits
from tests.storage.world import Store

LIMITS = Limits()


def paths(harvest: Harvest) -> list[str]:
    return sorted(found.file.path for found in harvest.files)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def reasons(harvest: Harvest) -> dict[str, str]:
    return {skipped.path: skipped.reason for skipped in harvest.skipped}


async def test_a_new_file_comes_home_with_its_figures(store: Store) -> None:
    """Size, hash, type, path and lifetime are those of the file."""
    workspace = await store.workspace()
    (workspace / "out").mkdir()
    (workspace / "out" / "a.csv").write_bytes(b"a,b\n1,2\n")
    [found] = (await store.keep("x")).files
    assert (found.file.path, found.file.filename, found.file.type) == ("out/a.csv", "a.csv", "data")
    assert (found.file.size, found.file.sha256) == (8, hashlib.sha256(b"a,b\n1,2\n").hexdigest())
    assert found.file.media_type == "text/csv"
    assert found.file.expires_at is not None
    assert (found.file.expires_at - found.file.created_at).total_seconds() == 48 * 3600
    assert await store.files.read(found.file.file_id, "alice") == b"a,b\n1,2\n"


async def test_an_unchanged_file_is_not_stored_again(store: Store) -> None:
    """What the manifest knows in the same version is passed over."""
    workspace = await store.workspace()
    (workspace / "a.txt").write_text("one")
    await store.keep("x")
    before = await store.workspaces.survey("alice", LIMITS)
    assert (await store.workspaces.harvest("alice", before, LIMITS)).files == ()


@pytest.mark.parametrize("change", ["content", "size", "touch", "forged", "replaced"])
async def test_a_changed_file_is_stored_again(store: Store, change: str) -> None:
    """Also when its size and its timestamps were set back to what they were."""
    workspace = await store.workspace()
    path = workspace / "a.txt"
    path.write_text("one")
    await store.keep("x")
    before = await store.workspaces.survey("alice", LIMITS)
    old = path.stat()
    match change:
        case "content":
            path.write_text("two")
        case "size":
            path.write_text("three")
        case "touch":
            os.utime(path, ns=(1, 1))
        case "forged":
            path.write_text("two")
            os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
        case "replaced":
            (workspace / "b").write_text("two")
            os.utime(workspace / "b", ns=(old.st_atime_ns, old.st_mtime_ns))
            (workspace / "b").rename(path)
    harvest = await store.workspaces.harvest("alice", before, LIMITS)
    assert paths(harvest) == ["a.txt"]


@pytest.mark.parametrize("change", ["chmod", "same bytes in a new inode"])
async def test_a_file_with_the_same_bytes_is_not_stored_again(store: Store, change: str) -> None:
    """Where only ctime or inode moved, the hash of the stored version settles the doubt."""
    workspace = await store.workspace()
    path = workspace / "a.txt"
    path.write_text("one")
    await store.keep("x")
    before, blobs = await store.workspaces.survey("alice", LIMITS), store.blob_count()
    old = path.stat()
    if change == "chmod":
        path.chmod(0o640)
    else:
        path.unlink()
        (workspace / "other").write_text("keeps the old inode number from being given again")
        path.write_text("one")
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    harvest = await store.workspaces.harvest("alice", before, LIMITS)
    assert "a.txt" not in paths(harvest)
    assert store.blob_count() == blobs + len(harvest.files)


async def test_equal_names_in_two_directories_are_two_files(store: Store) -> None:
    """Base names do not collide, and hard links are files of their own."""
    workspace = await store.workspace()
    for name in ("a", "b"):
        (workspace / name).mkdir()
        (workspace / name / "same.txt").write_text(name)
    (workspace / "linked.txt").hardlink_to(workspace / "a" / "same.txt")
    harvest = await store.keep("x")
    assert paths(harvest) == ["a/same.txt", "b/same.txt", "linked.txt"]
    assert len({found.file.file_id for found in harvest.files}) == 3


async def test_what_is_no_regular_file_is_reported(store: Store, tmp_path: Path) -> None:
    """Links, FIFOs and sockets are named with a reason; nothing is read through them."""
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    workspace = await store.workspace()
    (workspace / "link").symlink_to(secret)
    (workspace / "dir").symlink_to(tmp_path)
    (workspace / "loop").symlink_to("loop")
    os.mkfifo(workspace / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(workspace, os.O_DIRECTORY)
        listener.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    os.mknod(workspace / "device", 0o20666, os.makedev(1, 5))
    harvest = await store.keep("x")
    assert harvest.files == ()
    assert reasons(harvest) == {
        name: f"a {kind}: only regular files are kept"
        for name, kind in {
            "link": "symbolic link",
            "dir": "symbolic link",
            "loop": "symbolic link",
            "fifo": "FIFO",
            "socket": "socket",
            "device": "device",
        }.items()
    }


async def test_caches_and_dot_directories_are_left_alone(store: Store) -> None:
    """They are neither harvested nor reported, but they count."""
    workspace = await store.workspace()
    for name in (".cache", "__pycache__"):
        (workspace / name).mkdir()
        (workspace / name / "x").write_bytes(b"x" * 100_000)
    (workspace / ".dotfile").write_text("kept")
    harvest = await store.keep("x")
    assert (len(harvest.files), harvest.skipped) == (1, ())
    manifest = await store.workspaces.survey("alice", LIMITS)
    assert (manifest.inodes_used, manifest.bytes_used >= 200_000) == (5, True)


async def test_a_sparse_giant_is_refused_unread(store: Store) -> None:
    """Its size alone refuses it, and it does not count as used room."""
    workspace = await store.workspace()
    with (workspace / "huge.bin").open("wb") as file:
        file.truncate(1 << 43)
    harvest = await store.keep("x")
    assert reasons(harvest) == {"huge.bin": "larger than 50 MB, the most that one file may have"}
    assert not harvest.disk_full


async def test_the_bounds_of_a_harvest_hold(store: Store) -> None:
    """Files past the number or the bytes of one execution are reported, smaller ones still fit."""
    workspace = await store.workspace()
    for index in range(5):
        (workspace / f"{index}.bin").write_bytes(b"x" * (60 if index == 1 else 10))
    limits = replace(LIMITS, harvest_files=3, harvest_bytes=65)
    harvest = await store.workspaces.harvest(
        "alice", Manifest(entries={}, bytes_used=0, inodes_used=0), limits
    )
    assert paths(harvest) == ["0.bin", "2.bin", "3.bin"]
    assert set(reasons(harvest)) == {"1.bin", "4.bin"}
    assert "in all" in reasons(harvest)["1.bin"]
    assert "over 3 files" in reasons(harvest)["4.bin"]


async def test_too_deep_a_tree_is_reported_as_one(store: Store) -> None:
    """Below the depth limit nothing is read; how much that was is said."""
    workspace = await store.workspace()
    bottom = workspace.joinpath(*["d"] * 40)
    bottom.mkdir(parents=True)
    (bottom / "deep.txt").write_text("deep")
    workspace.joinpath(*["d"] * 32, "kept.txt").write_text("kept")
    harvest = await store.keep("x")
    assert paths(harvest) == ["/".join(["d"] * 32) + "/kept.txt"]
    [skipped] = harvest.skipped
    assert skipped.reason == "deeper than 32 directories: 1 files were not looked at"
    assert skipped.size == 4


async def test_a_directory_a_thousand_deep_costs_no_descriptors(store: Store) -> None:
    """The walk holds a handful of descriptors and needs no path that the kernel would refuse."""
    workspace = await store.workspace()
    start = here = os.open(workspace, os.O_DIRECTORY)
    for _ in range(1000):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_DIRECTORY, dir_fd=here)
        if here != start:
            os.close(here)
        here = below
    os.close(here)
    os.close(start)
    descriptors = open_descriptors()
    manifest = await store.workspaces.survey("alice", LIMITS)
    assert manifest.inodes_used == 1000
    assert open_descriptors() == descriptors


async def test_a_full_workspace_is_evidence(store: Store) -> None:
    """Bytes or inodes at the quota, or a file exactly at the size limit, say why the program failed."""
    workspace = await store.workspace()
    (workspace / "a").write_bytes(b"x" * 8192)
    none = Manifest(entries={}, bytes_used=0, inodes_used=0)

    async def is_full(**limits: int) -> bool:
        return (await store.workspaces.harvest("alice", none, replace(LIMITS, **limits))).disk_full

    assert not await is_full()
    assert await is_full(workspace_bytes=8192)
    assert await is_full(workspace_inodes=1)
    assert await is_full(file_bytes=8192)


async def test_more_entries_than_the_walk_bears_are_said(store: Store) -> None:
    """The walk ends at twice the inode quota, with a report and without an error."""
    workspace = await store.workspace()
    for index in range(50):
        (workspace / f"{index:02}").touch()
    limits = replace(LIMITS, workspace_inodes=20)
    harvest = await store.workspaces.harvest(
        "alice", Manifest(entries={}, bytes_used=0, inodes_used=0), limits
    )
    assert len(harvest.files) == 40
    assert harvest.disk_full
    assert "more than 40 entries" in harvest.skipped[-1].reason


async def test_times_past_the_index_are_stored(store: Store) -> None:
    """A timestamp in the year 2400 neither breaks the commit nor hides a change."""
    workspace = await store.workspace()
    (workspace / "future.txt").write_text("x")
    os.utime(workspace / "future.txt", ns=(0, 13_600_000_000 * 10**9))
    assert len((await store.keep("x")).files) == 1
    before = await store.workspaces.survey("alice", LIMITS)
    assert (await store.workspaces.harvest("alice", before, LIMITS)).files == ()


async def test_a_harvest_that_fails_leaves_no_copies(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses at the end, nothing half-written stays."""
    workspace = await store.workspace()
    for index in range(3):
        (workspace / f"{index}").write_text("x")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.blobs, "publish", refuse)
    with pytest.raises(Exception, match="No space left"):
        await store.workspaces.harvest("alice", Manifest(entries={}, bytes_used=0, inodes_used=0), LIMITS)
    assert store.blob_count() == 0
