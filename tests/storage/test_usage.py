"""What a workspace takes up, counted while a stranger may be changing it."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.domain.files import Manifest, Space
from orchestrator.domain.limits import GIB, Limits
from tests.storage.world import Store

LIMITS = Limits()
QUOTA = Space(bytes=LIMITS.workspace_bytes, inodes=LIMITS.workspace_inodes)
BLOCK = 4096


def _hole(workspace: Path) -> None:
    with (workspace / "sparse").open("wb") as file:
        file.truncate(2**40)


def _links_to_one_file(workspace: Path) -> None:
    (workspace / "one").write_bytes(bytes(BLOCK))
    for number in range(50):
        os.link(workspace / "one", workspace / f"same{number}")


def _links_out(workspace: Path) -> None:
    outside = workspace.parent / "outside"
    outside.mkdir()
    (outside / "big").write_bytes(bytes(100 * BLOCK))
    (workspace / "directory").symlink_to(outside)
    (workspace / "file").symlink_to(outside / "big")
    (workspace / "loop").symlink_to("loop")


def _hidden(workspace: Path) -> None:
    (workspace / ".cache").mkdir()
    (workspace / ".cache" / "data").write_bytes(bytes(2 * BLOCK))


def _closed(workspace: Path) -> None:
    (workspace / "closed").write_bytes(bytes(2 * BLOCK))
    (workspace / "closed").chmod(0)


def _special(workspace: Path) -> None:
    os.mkfifo(workspace / "fifo")


def _deep(workspace: Path) -> None:
    here = workspace
    for _ in range(100):
        here /= "d"
        here.mkdir()


@pytest.mark.parametrize(
    ("make", "least", "most", "inodes"),
    [
        (_hole, 0, BLOCK, 1),
        (_links_to_one_file, BLOCK, 2 * BLOCK, 1),
        (_links_out, 0, 3 * BLOCK, 3),
        (_hidden, 2 * BLOCK, 4 * BLOCK, 2),
        (_closed, 2 * BLOCK, 3 * BLOCK, 1),
        (_special, 0, BLOCK, 1),
        (_deep, 0, 200 * BLOCK, 100),
    ],
)
async def test_blocks_and_inodes_are_counted_once_and_inside(
    store: Store, make: Callable[[Path], None], least: int, most: int, inodes: int
) -> None:
    """A hole costs nothing, a second name costs nothing, a link leads nowhere, and nothing can be hidden."""
    workspace = await store.workspace()
    make(workspace)
    used = await store.workspaces.usage("alice", LIMITS, QUOTA)
    assert used.inodes == inodes
    assert least <= used.bytes <= most
    surveyed = await store.workspaces.survey("alice", LIMITS)
    assert surveyed.used == used


async def test_counting_ends_where_it_is_too_much(store: Store) -> None:
    """Whoever made more than is allowed is not counted to the end."""
    workspace = await store.workspace()
    for number in range(100):
        (workspace / str(number)).write_bytes(bytes(BLOCK))
    used = await store.workspaces.usage("alice", LIMITS, replace(QUOTA, inodes=10))
    assert used.inodes == 11
    used = await store.workspaces.usage("alice", LIMITS, replace(QUOTA, bytes=10 * BLOCK))
    assert used.bytes == 11 * BLOCK


async def test_names_without_end_are_an_inode_too_many(store: Store) -> None:
    """A program cannot hide from the count behind more names of one file than a walk bears."""
    workspace = await store.workspace()
    (workspace / "one").touch()
    for number in range(60):
        os.link(workspace / "one", workspace / f"same{number}")
    small = replace(LIMITS, workspace_inodes=20)
    used = await store.workspaces.usage("alice", small, Space(bytes=GIB, inodes=20))
    assert used.inodes == 21


async def test_the_free_room_is_that_of_the_disk(store: Store) -> None:
    """As the system says it to whoever is not root."""
    await store.workspace()
    free = os.statvfs(store.root)
    room = await store.workspaces.room()
    assert 0 < room.bytes <= free.f_blocks * free.f_frsize


async def test_the_copy_of_a_deleted_file_is_gone_before_the_next_execution(store: Store) -> None:
    """Deleting a stored file frees its room in the workspace, also where another version is stored."""
    workspace = await store.workspace()
    (workspace / "a.bin").write_bytes(bytes(10 * BLOCK))
    (workspace / "kept.bin").write_bytes(bytes(BLOCK))
    harvest = await store.keep("first")
    file_id = next(found.file.file_id for found in harvest.files if found.file.filename == "a.bin")
    await store.files.delete(file_id, "alice")
    await store.workspaces.open("alice")
    assert sorted(path.name for path in workspace.iterdir()) == ["kept.bin"]
    report = await store.sweeper.sweep()
    assert (report.workspace_files, report.missing_blobs) == (0, 0)
    assert [file.filename for file in await store.files.list("alice")] == ["kept.bin"]


async def test_what_is_not_stored_can_be_cleared_without_waiting(store: Store) -> None:
    """Stored files stay, whatever else programs left goes at once, and nothing beside a running one."""
    workspace = await store.workspace()
    (workspace / "kept.bin").write_bytes(bytes(BLOCK))
    (workspace / ".hidden").mkdir()
    (workspace / ".hidden" / "data").write_bytes(bytes(BLOCK))
    await store.keep("first")
    await store.begin("second")
    assert (await store.sweeper.clear("alice")).files == 0
    await store.finish("second", await store.workspaces.harvest("alice", await _now(store), LIMITS))
    assert (await store.sweeper.clear("alice")).files == 1
    assert [path.name for path in workspace.iterdir()] == ["kept.bin"]


async def _now(store: Store) -> Manifest:
    return await store.workspaces.survey("alice", LIMITS)
