"""Workspaces as ext4 images, on real loop devices: bounded by the kernel, nothing lost, nothing left."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.domain.limits import MIB, Limits
from orchestrator.errors import ConfigurationError, StorageFault
from orchestrator.storage import mounts
from orchestrator.storage.loop import LoopImages
from tests.conftest import loop_files, mount_points
from tests.storage.world import NOTHING, Store, open_store

LIMITS = replace(Limits(), workspace_bytes=24 * MIB, workspace_inodes=300)

type Open = Callable[..., AbstractAsyncContextManager[Store]]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A data directory that nothing may be left of in the kernel's tables."""
    path = tmp_path / "data"
    path.mkdir(mode=0o700)
    yield path
    left = mounted(path)
    for owner in left:
        subprocess.run(["umount", path / "workspaces" / owner], check=True)
    assert left == []
    until(lambda: attached(path) == [])


@pytest.fixture
def opened(root: Path) -> Open:
    """Opens the storage below `root`, by default with `loop` set; again and again, as processes do."""

    @asynccontextmanager
    async def open_it(
        *, makes_new: bool = True, at_once: int = 64, idle: float = 0.0
    ) -> AsyncIterator[Store]:
        images = LoopImages(
            root / "images", root / "workspaces", LIMITS, makes_new=makes_new, at_once=at_once, idle=idle
        )
        async with open_store(root, images) as store:
            yield store

    return open_it


def mounted(root: Path) -> list[str]:
    """Owners whose image is mounted below `root` in this namespace; twice is twice."""
    below = f"{root / 'workspaces'}/"
    return sorted(point.removeprefix(below) for point in mount_points() if point.startswith(below))


def names(path: Path) -> list[str]:
    """What lies in a directory."""
    return sorted(entry.name for entry in path.iterdir())


def attached(root: Path) -> list[str]:
    """The owners whose images are behind a loop device."""
    return sorted(Path(file).stem for file in loop_files() if file.startswith(str(root)))


def fill(path: Path, content: bytes) -> int:
    """Write files of that content until the kernel has no space for another; how many."""
    for made in range(10_000):
        try:
            (path / f"{made}.bin").write_bytes(content)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                return made
            raise
    raise AssertionError("it was never full")


def until(condition: Callable[[], bool]) -> None:
    """Return when it holds; the kernel frees a loop device a moment after its last mount."""
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it never came true")


@contextmanager
def other(root: Path, code: str, *wrapper: str) -> Iterator[subprocess.Popen[str]]:
    """Another process with `images` over the same directory; killed at the end."""
    begin = f"""
import sys, time
from pathlib import Path
from orchestrator.domain.limits import Limits
from orchestrator.storage.loop import LoopImages
root = Path({str(root)!r})
limits = Limits(workspace_bytes={LIMITS.workspace_bytes}, workspace_inodes={LIMITS.workspace_inodes})
images = LoopImages(root / "images", root / "workspaces", limits, makes_new=True)
"""
    with spoken_to([*wrapper, sys.executable, "-c", begin + code]) as process:
        yield process


@contextmanager
def spoken_to(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that has said that it is ready; killed at the end."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()


STAYS = """
images.reach("alice")
(root / "workspaces/alice/kept.txt").write_text("x")
print("ready", flush=True)
time.sleep(600)
"""


async def test_a_new_owner_gets_an_image_that_looks_like_a_directory(opened: Open, root: Path) -> None:
    """Private, empty, without lost+found; setuid bits, devices and links mean nothing in it."""
    async with opened() as store:
        path, uid = await store.workspaces.open("alice")
        status = path.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (uid, uid, 0o700)
        assert names(path) == []
        assert not (await store.workspaces.survey("alice", LIMITS)).entries
        table = await asyncio.to_thread(Path("/proc/self/mounts").read_text)
        options = next(line.split()[3] for line in table.splitlines() if str(path) in line)
        assert {"nosuid", "nodev", "nosymfollow"} <= set(options.split(","))
        assert (root / "images" / "alice.ext4").stat().st_mode & 0o7777 == 0o600
    assert mounted(root) == []
    until(lambda: attached(root) == [])


@pytest.mark.parametrize("how", ["bytes", "inodes"])
async def test_the_kernel_refuses_what_is_past_the_bound(opened: Open, root: Path, how: str) -> None:
    """Not a byte nor a file more than the image has, and the harvest finds it full."""
    async with opened() as store:
        path = await store.workspace()
        made = fill(path, bytes(MIB // 8) if how == "bytes" else b"")
        assert made <= (8 * 24 if how == "bytes" else LIMITS.workspace_inodes)
        harvest = await store.workspaces.harvest("alice", NOTHING, LIMITS)
        assert harvest.disk_limit == how
        image = (root / "images" / "alice.ext4").stat()
        assert image.st_size == LIMITS.workspace_bytes
        assert image.st_blocks * 512 <= LIMITS.workspace_bytes


async def test_room_that_is_left_is_no_evidence(opened: Open) -> None:
    """Half full is not full."""
    async with opened() as store:
        (await store.workspace() / "half.bin").write_bytes(bytes(10 * MIB))
        assert not (await store.workspaces.harvest("alice", NOTHING, LIMITS)).disk_full


async def test_what_was_full_a_moment_ago_is_evidence_once(opened: Open) -> None:
    """A file without a name is gone with its program; a look while it lived has seen it."""
    async with opened() as store:
        path = await store.workspace()
        nameless = os.open(path, os.O_TMPFILE | os.O_WRONLY)
        with suppress(OSError):
            while True:
                os.write(nameless, bytes(MIB // 8))
        await store.workspaces.room()
        os.close(nameless)
        assert (await store.workspaces.harvest("alice", NOTHING, LIMITS)).disk_limit == "bytes"
        assert not (await store.workspaces.harvest("alice", NOTHING, LIMITS)).disk_full


async def test_deleted_bytes_are_given_back_to_the_host(opened: Open, root: Path) -> None:
    """The image is sparse, and becomes so again."""
    async with opened() as store:
        path = await store.workspace()
        (path / "big.bin").write_bytes(os.urandom(10 * MIB))
        os.sync()
        image = root / "images" / "alice.ext4"
        assert image.stat().st_blocks * 512 > 10 * MIB
        (path / "big.bin").unlink()
        os.sync()
        until(lambda: image.stat().st_blocks * 512 < 5 * MIB)


async def test_what_is_stored_expires_with_its_copy_also_in_an_image_that_is_not_mounted(
    opened: Open, root: Path
) -> None:
    """Harvest, expiry and sweep work as in a directory; an image that holds nothing goes, and comes again."""
    async with opened() as store:
        (await store.workspace() / "a.txt").write_text("1")
        assert [found.file.path for found in (await store.keep("x")).files] == ["a.txt"]
    assert mounted(root) == []
    async with opened() as store:
        store.clock.offset = timedelta(hours=49)
        assert (await store.sweeper.sweep(dry_run=True)).workspace_files == 1
        report = await store.sweeper.sweep()
        assert (report.expired_files, report.workspace_files) == (1, 1)
        assert names(root / "images") == [".lock"]
        assert names(root / "workspaces") == []
        assert names(await store.workspace()) == []


async def test_the_same_files_are_there_after_a_restart(opened: Open, root: Path) -> None:
    """Closing unmounts, opening mounts."""
    async with opened() as store:
        (await store.workspace() / "a.txt").write_text("1")
    until(lambda: attached(root) == [])
    async with opened() as store:
        assert (await store.workspace() / "a.txt").read_text() == "1"
        assert attached(root) == ["alice"]


async def test_first_uses_at_the_same_time_make_one_image(opened: Open, root: Path) -> None:
    """Twenty tasks of two storages, as two processes would."""
    async with opened() as store, opened() as second:
        owners = ["alice", "bob"] * 10
        await asyncio.gather(*((store, second)[n % 3 == 0].workspaces.open(o) for n, o in enumerate(owners)))
        assert mounted(root) == attached(root) == ["alice", "bob"]


@pytest.mark.parametrize("again", ["used", "only tidied"])
async def test_what_a_killed_process_left_mounted_is_found(opened: Open, root: Path, again: str) -> None:
    """Its files are there for the next process, and nothing stays mounted after that one."""
    with other(root, STAYS) as victim:
        victim.kill()
        victim.wait()
        assert mounted(root) == ["alice"]
    async with opened() as store:
        if again == "used":
            assert (await store.workspace() / "kept.txt").read_text() == "x"
            assert attached(root) == ["alice"]
    assert mounted(root) == []
    until(lambda: attached(root) == [])


async def test_what_another_process_uses_stays_mounted(opened: Open, root: Path) -> None:
    """Closing gives up our use of it alone."""
    with other(root, STAYS):
        async with opened() as store:
            assert (await store.workspace() / "kept.txt").read_text() == "x"
        assert mounted(root) == ["alice"]
    async with opened():
        pass
    assert mounted(root) == []


async def test_what_a_container_has_stays_mounted(opened: Open, root: Path, tmp_path: Path) -> None:
    """A bind mount in another namespace, which an unmount here would not even notice, keeps it."""
    inside = tmp_path / "inside"
    inside.mkdir()
    async with opened() as store:
        path = await store.workspace()
        script = f"mount --bind {path} {inside} && umount {path} && echo ready && exec sleep 600"
        with spoken_to(["unshare", "--mount", "--propagation", "private", "sh", "-c", script]):
            await store.workspaces.tidy()
            assert mounted(root) == ["alice"]
        await asyncio.to_thread(until, lambda: not mounts.is_bound(path))
        await store.workspaces.tidy()
        assert mounted(root) == []


async def test_more_owners_than_may_be_mounted_take_turns(opened: Open, root: Path) -> None:
    """The least recently used go, and come back with what they held."""
    async with opened(at_once=2) as store:
        for owner in ("ann", "bob", "cyd", "dan"):
            (await store.workspace(owner) / "mine.txt").write_text(owner)
            assert len(mounted(root)) <= 2
        for owner in ("ann", "bob", "cyd", "dan"):
            assert (await store.workspace(owner) / "mine.txt").read_text() == owner
        assert mounted(root) == ["cyd", "dan"]


async def test_an_owner_keeps_the_kind_of_workspace_they_have(opened: Open, root: Path) -> None:
    """Switching the setting to and fro loses nothing; only who has none gets the new kind."""
    async with opened(makes_new=False) as store:
        (await store.workspace("ann") / "dir.txt").write_text("1")
    async with opened() as store:
        assert (await store.workspace("ann") / "dir.txt").read_text() == "1"
        (await store.workspace("bob") / "image.txt").write_text("2")
        assert mounted(root) == ["bob"]
    async with opened(makes_new=False) as store:
        assert (await store.workspace("bob") / "image.txt").read_text() == "2"
        assert [found.file.path for found in (await store.keep("x", "bob")).files] == ["image.txt"]
        await store.workspace("cyd")
        assert mounted(root) == ["bob"]


async def test_an_empty_directory_becomes_an_image_with_the_next_sweep(opened: Open, root: Path) -> None:
    """So that the setting reaches everybody in the end; who has an execution is left alone."""
    async with opened(makes_new=False) as store:
        for owner in ("ann", "bob", "cyd"):
            await store.workspaces.open(owner)
        (root / "workspaces" / "cyd" / "fresh.txt").write_text("1")
    async with opened() as store:
        await store.begin("x", "bob")
        await store.sweeper.sweep()
        assert names(root / "workspaces") == ["bob", "cyd"]
        await store.workspaces.open("ann")
        assert mounted(root) == ["ann"]


async def test_an_empty_directory_that_a_container_has_is_left(opened: Open, tmp_path: Path) -> None:
    """Its programs could write nothing any more."""
    inside = tmp_path / "inside"
    inside.mkdir()
    async with opened(makes_new=False) as store:
        path = await store.workspace()
    async with opened() as store:
        script = f"mount --bind {path} {inside} && echo ready && exec sleep 600"
        with spoken_to(["unshare", "--mount", "--propagation", "private", "sh", "-c", script]):
            await store.sweeper.sweep()
            assert path.exists()
        await asyncio.to_thread(until, lambda: not mounts.is_bound(path))
        await store.sweeper.sweep()
        assert not path.exists()


async def test_an_image_that_was_half_made_is_made_anew(opened: Open, root: Path) -> None:
    """It never had its name."""
    (root / "images").mkdir()
    (root / "images" / ".new").write_bytes(b"half" * 10_000)
    async with opened() as store:
        assert names(await store.workspace()) == []
        assert names(root / "images") == [".lock", "alice.ext4"]


async def test_a_damaged_image_is_a_fault_of_its_owner_alone(opened: Open, root: Path) -> None:
    """One sentence; the file is kept, and the sweep goes on to the others."""
    async with opened() as store:
        await store.workspaces.open("ann")
        (await store.workspace("bob") / "old.txt").write_text("1")
        await store.keep("x", "bob")
    image = root / "images" / "ann.ext4"
    image.write_bytes(bytes(MIB))
    async with opened() as store:
        with pytest.raises(StorageFault, match=r"mount failed .* try again"):
            await store.workspaces.open("ann")
        store.clock.offset = timedelta(hours=49)
        assert (await store.sweeper.sweep()).workspace_files == 1
        assert image.exists()
        assert names(root / "workspaces") == ["ann"]


async def test_files_beneath_an_image_are_not_hidden(opened: Open, root: Path) -> None:
    """Two workspaces of one owner: a person has to choose."""
    async with opened() as store:
        await store.workspaces.open("alice")
    (root / "workspaces" / "alice" / "beneath.txt").write_text("1")
    async with opened() as store:
        with pytest.raises(StorageFault, match="move away one of the two"):
            await store.workspaces.open("alice")


async def test_what_cannot_be_mounted_for_the_engine_is_refused(opened: Open, root: Path) -> None:
    """In a namespace of its own a mount would be seen by nobody else, and code would meet a closed door."""
    code = """
from orchestrator.errors import ConfigurationError
try:
    images.reach("alice")
except ConfigurationError as error:
    print("ready", flush=True)
    print(error, flush=True)
    print(open("/proc/self/mounts").read().count(str(root)), flush=True)
"""
    with other(root, code, "unshare", "--mount", "--propagation", "private") as process:
        assert process.stdout is not None
        assert "SANDGLASS_WORKSPACE_BACKEND=directory" in process.stdout.readline()
        assert process.stdout.readline() == "0\n"
    async with opened(makes_new=False) as store:
        (await store.workspace() / "a.txt").write_text("1")
        assert mounted(root) == []
    until(lambda: attached(root) == [])


async def test_an_image_too_small_for_its_inodes_is_refused(root: Path) -> None:
    """With the setting to raise, instead of the maker's own words."""
    images = LoopImages(
        root / "images",
        root / "workspaces",
        replace(LIMITS, workspace_bytes=MIB),
        makes_new=True,
    )
    async with open_store(root, images) as store:
        with pytest.raises(ConfigurationError, match="raise SANDGLASS_WORKSPACE_BYTES"):
            await store.workspaces.open("alice")


async def test_who_is_not_root_is_told(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is made."""
    async with opened() as store:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(ConfigurationError, match=r"Only root .* run the orchestrator as root"):
            await store.workspaces.open("alice")


async def test_a_missing_command_is_named_with_its_package(
    opened: Open, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no half image is left under the owner's name."""
    async with opened() as store:
        with monkeypatch.context() as without:
            without.setattr(mounts, "PATH", str(tmp_path))
            with pytest.raises(ConfigurationError, match=r"mkfs.ext4 is missing.* package e2fsprogs"):
                await store.workspaces.open("alice")
        assert not (root / "images" / "alice.ext4").exists()
        assert names(await store.workspace()) == []
