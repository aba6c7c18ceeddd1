"""One private directory and one uid for each owner, and inputs that cannot be changed."""

import asyncio
import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.domain.states import ExecutionState
from orchestrator.errors import InvalidRequest, StorageFault
from tests.storage.world import Store


async def test_every_owner_has_a_uid_of_their_own(store: Store) -> None:
    """Allocated at once by twenty, kept for good, never shared."""
    owners = [f"owner-{index}" for index in range(20)]
    opened = await asyncio.gather(*(store.workspaces.open(owner) for owner in owners))
    assert sorted(uid for _, uid in opened) == list(range(700_000, 700_020))
    assert await store.workspaces.open("owner-3") == opened[3]


async def test_one_owner_opened_by_many_has_one_uid(store: Store) -> None:
    """Two first uses at the same time agree."""
    opened = await asyncio.gather(*(store.workspaces.open("alice") for _ in range(10)))
    assert len(set(opened)) == 1


async def test_a_workspace_is_private(store: Store) -> None:
    """Mode and owner are what they must be, also after a program changed them."""
    path, uid = await store.workspaces.open("alice")
    for _ in range(2):
        status = path.stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (uid, uid, 0o700)
        path.chmod(0o777)
        os.chown(path, 0, 0)
        await store.workspaces.open("alice")


@pytest.mark.parametrize("planted", ["link", "file"])
async def test_what_is_no_real_directory_is_refused(store: Store, tmp_path: Path, planted: str) -> None:
    """A link or a file in the place of a workspace is one clear sentence, and is not followed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    await store.workspaces.open("bob")
    path = store.root / "workspaces" / "alice"
    if planted == "link":
        path.symlink_to(elsewhere)
    else:
        path.touch()
    with pytest.raises(StorageFault, match="is not a real directory: move away"):
        await store.workspaces.open("alice")
    assert elsewhere.stat().st_uid == os.getuid()


@pytest.mark.parametrize("owner", ["", ".", "..", "a/b", "../bob", "a\0b"])
async def test_an_owner_cannot_name_a_path(store: Store, owner: str) -> None:
    """The door checks owners, and so does the room."""
    with pytest.raises(InvalidRequest):
        await store.workspaces.open(owner)


async def test_staged_inputs_are_links_that_cannot_be_written(store: Store) -> None:
    """Read-only, readable by another uid, the very blob; unstaging leaves the original as it was."""
    file = await store.files.put("alice", "data.csv", b"a,b\n")
    directory = await store.workspaces.stage("x", "alice", [file])
    staged = directory / file.file_id / "data.csv"
    blob = store.blobs.path(file.file_id)
    assert staged.samefile(blob)
    assert stat.S_IMODE(staged.stat().st_mode) == 0o444
    assert [stat.S_IMODE(path.stat().st_mode) for path in (directory, staged.parent)] == [0o755, 0o755]
    await store.workspaces.unstage("x")
    assert not directory.exists()
    assert blob.read_bytes() == b"a,b\n"
    await store.workspaces.unstage("x")


async def test_staging_copies_where_it_cannot_link(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """On another filesystem the input is a copy with the same mode and bytes."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    file = await store.files.put("alice", "data.csv", b"a,b\n")
    monkeypatch.setattr(os, "link", refuse)
    staged = await store.workspaces.stage("x", "alice", [file]) / file.file_id / "data.csv"
    assert (staged.read_bytes(), stat.S_IMODE(staged.stat().st_mode)) == (b"a,b\n", 0o444)
    assert not staged.samefile(store.blobs.path(file.file_id))


async def test_a_lost_blob_does_not_keep_the_others_away(store: Store) -> None:
    """What has no bytes is left out; the execution can run."""
    lost = await store.files.put("alice", "lost.txt", b"x")
    kept = await store.files.put("alice", "kept.txt", b"y")
    store.blobs.path(lost.file_id).unlink()
    directory = await store.workspaces.stage("x", "alice", [lost, kept])
    assert [path.name for path in directory.iterdir()] == [kept.file_id]


@pytest.mark.parametrize("execution_id", ["..", "a/b", "", ".hidden"])
async def test_an_execution_id_cannot_name_a_path(store: Store, execution_id: str) -> None:
    """Callers may choose the id, not where it leads."""
    with pytest.raises(InvalidRequest):
        await store.workspaces.stage(execution_id, "alice", [])
    with pytest.raises(InvalidRequest):
        await store.workspaces.unstage(execution_id)


async def test_opening_beside_a_running_program_leaves_its_files_alone(store: Store) -> None:
    """Whoever warms up for the owner meanwhile removes nothing, not even what has expired."""
    workspace = await store.workspace()
    (workspace / "a.txt").write_text("x")
    await store.keep("x")
    store.clock.offset = timedelta(hours=49)
    await store.begin("running")
    await store.executions.move("running", ExecutionState.PREPARING, ExecutionState.RUNNING)
    await store.workspaces.open("alice")
    assert (workspace / "a.txt").exists()


async def test_an_expired_copy_is_gone_before_the_next_execution(store: Store) -> None:
    """Opening the workspace removes it, without a sweep; what is not of an expired version stays."""
    workspace = await store.workspace()
    (workspace / "out").mkdir()
    (workspace / "out" / "a.txt").write_text("old")
    (workspace / "b.txt").write_text("old")
    await store.keep("x")
    (workspace / "b.txt").write_text("written since, never stored")
    store.clock.offset = timedelta(hours=49)
    assert (await store.workspaces.open("alice"))[0] == workspace
    assert [path.name for path in workspace.iterdir()] == ["b.txt"]
    assert await store.workspaces.expire("alice") == 0
