"""What a sweep removes, what it leaves, and that index and disk agree afterwards."""

import asyncio
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from orchestrator.domain.limits import Limits
from orchestrator.errors import FileNotFoundOrExpired
from orchestrator.storage import disk_sweep
from orchestrator.storage import sweep as sweep_module
from orchestrator.storage.tables import files, sweeps
from tests.storage.world import Store

LONG = timedelta(hours=49)


async def rows(store: Store) -> int:
    async with store.database.session() as connection:
        return int(await connection.scalar(sa.select(sa.func.count()).select_from(files)) or 0)


async def test_expired_files_go_everywhere_at_once(store: Store) -> None:
    """After 49 h the row, the blob, the workspace copy and its directory are gone, and counted."""
    workspace = await store.workspace()
    (workspace / "out").mkdir()
    (workspace / "out" / "a.txt").write_text("hello")
    (workspace / "b.txt").write_text("world")
    await store.keep("x")
    await store.files.put("alice", "upload.txt", b"up")
    store.clock.offset = LONG
    report = await store.sweeper.sweep()
    assert (report.expired_files, report.expired_bytes, report.workspace_files) == (3, 12, 2)
    assert list(workspace.iterdir()) == []
    assert (store.blob_count(), await rows(store)) == (0, 0)
    again = await store.sweeper.sweep()
    assert (again.expired_files, again.workspace_files, again.orphan_blobs) == (0, 0, 0)


async def test_a_dry_run_says_the_same_and_changes_nothing(store: Store) -> None:
    """The figures are those of the sweep that follows, and no row of it is written."""
    workspace = await store.workspace()
    (workspace / "a.txt").write_text("hello")
    (workspace / "never").mkdir()
    (workspace / "never" / "link").symlink_to("/")
    await store.keep("x")
    store.clock.offset = LONG
    dry = await store.sweeper.sweep(dry_run=True)
    assert (workspace / "a.txt").exists()
    assert (store.blob_count(), await rows(store), await store.sweeper.last_sweep()) == (1, 1, None)
    real = await store.sweeper.sweep()
    assert (dry.expired_files, dry.workspace_files, dry.empty_directories) == (1, 2, 1)
    assert (real.expired_files, real.workspace_files, real.empty_directories) == (1, 2, 1)


async def test_what_is_young_stays(store: Store) -> None:
    """Nothing goes before its time, stored or not."""
    workspace = await store.workspace()
    (workspace / "kept.txt").write_text("kept")
    await store.keep("x")
    (workspace / "unknown.txt").write_text("never harvested")
    (workspace / "empty").mkdir()
    store.clock.offset = timedelta(hours=47)
    report = await store.sweeper.sweep()
    assert (report.expired_files, report.workspace_files, report.empty_directories) == (0, 0, 0)
    assert sorted(entry.name for entry in workspace.iterdir()) == ["empty", "kept.txt", "unknown.txt"]


async def test_an_extended_file_keeps_its_copy(store: Store) -> None:
    """A workspace copy that a live row names stays, however old it is."""
    workspace = await store.workspace()
    (workspace / "a.txt").write_text("kept")
    [found] = (await store.keep("x")).files
    await store.files.extend(found.file.file_id, "alice", timedelta(days=30))
    store.clock.offset = LONG
    await store.sweeper.sweep()
    assert (workspace / "a.txt").read_text() == "kept"


async def test_a_newer_version_outlives_the_older_one(store: Store) -> None:
    """When the older version expires, the workspace holds the newer one, which stays."""
    workspace = await store.workspace()
    (workspace / "a.txt").write_text("old")
    await store.keep("x")
    store.clock.offset = timedelta(hours=24)
    before = await store.workspaces.survey("alice", Limits())
    (workspace / "a.txt").write_text("newer")
    await store.keep("y", before=before)
    store.clock.offset = LONG
    report = await store.sweeper.sweep()
    assert (report.expired_files, report.workspace_files) == (1, 0)
    assert (workspace / "a.txt").read_text() == "newer"


async def test_hidden_and_buried_leavings_go_too(store: Store, tmp_path: Path) -> None:
    """Caches, links, FIFOs and buried trees are old one day; what a link names is untouched."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("of the host")
    workspace = await store.workspace()
    workspace.joinpath(*["d"] * 60).mkdir(parents=True)
    workspace.joinpath(*["d"] * 60, "deep.txt").write_text("x")
    (workspace / ".cache").mkdir()
    (workspace / ".cache" / "c").write_text("x")
    (workspace / "link").symlink_to(outside)
    os.mkfifo(workspace / "fifo")
    store.clock.offset = LONG
    report = await store.sweeper.sweep()
    assert (report.workspace_files, report.empty_directories) == (4, 61)
    assert list(workspace.iterdir()) == []
    assert (outside / "precious").read_text() == "of the host"


async def test_a_copy_behind_a_planted_link_is_not_followed(store: Store) -> None:
    """A directory that was replaced by a link to another owner's workspace leads nowhere."""
    alice, bob = await store.workspace("alice"), await store.workspace("bob")
    (alice / "out").mkdir()
    (alice / "out" / "a.txt").write_text("same")
    await store.keep("x")
    status = (alice / "out" / "a.txt").stat()
    (bob / "a.txt").write_text("same")
    os.utime(bob / "a.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
    shutil.rmtree(alice / "out")
    (alice / "out").symlink_to(bob)
    store.clock.offset = LONG
    await store.begin("running", "bob")
    await store.sweeper.sweep()
    assert (bob / "a.txt").read_text() == "same"


async def test_the_workspace_of_a_running_owner_is_not_touched(store: Store) -> None:
    """While an execution of the owner is not over its files stay; the sweep after it takes them."""
    workspace = await store.workspace()
    (workspace / "a.txt").write_text("x")
    await store.keep("x")
    store.clock.offset = LONG
    await store.begin("running")
    assert (await store.sweeper.sweep()).workspace_files == 0
    assert (workspace / "a.txt").exists()
    await store.finish(
        "running",
        await store.workspaces.harvest("alice", await store.workspaces.survey("alice", Limits()), Limits()),
    )
    assert (await store.sweeper.sweep()).workspace_files == 1


async def test_orphan_blobs_go_after_their_grace(store: Store) -> None:
    """A blob without a row may belong to a harvest under way, so only an old one is deleted."""
    workspace = await store.workspace()
    (workspace / "a.txt").write_text("x")
    before = await store.workspaces.survey("alice", Limits())
    (workspace / "b.txt").write_text("y")
    await store.workspaces.harvest("alice", before, Limits())
    (store.root / "blobs" / ".tmp" / "half").write_text("written")
    assert (await store.sweeper.sweep()).orphan_blobs == 0
    store.clock.offset = timedelta(minutes=61)
    assert (await store.sweeper.sweep(dry_run=True)).orphan_blobs == 2
    assert store.blob_count() == 2
    assert (await store.sweeper.sweep()).orphan_blobs == 2
    assert store.blob_count() == 0


async def test_a_row_without_a_blob_is_marked_and_then_gone(store: Store) -> None:
    """It is counted once, no longer listed, and deleted by the next sweep."""
    file = await store.files.put("alice", "a.txt", b"x")
    store.blobs.path(file.file_id).unlink()
    assert (await store.sweeper.sweep()).missing_blobs == 1
    assert await store.files.list("alice") == []
    with pytest.raises(FileNotFoundOrExpired):
        await store.files.get(file.file_id, "alice")
    assert (await store.sweeper.sweep()).missing_blobs == 0
    assert await rows(store) == 0


async def test_stale_staging_goes(store: Store) -> None:
    """Directories of executions that are over or unknown are removed, that of a running one stays."""
    file = await store.files.put("alice", "a.txt", b"x")
    await store.begin("running")
    for execution_id in ("running", "unknown"):
        await store.workspaces.stage(execution_id, "alice", [file])
    assert (await store.sweeper.sweep()).stale_staging == 1
    assert await store.workspaces.staged() == ["running"]
    assert await store.files.read(file.file_id, "alice") == b"x"


async def test_a_sweep_killed_anywhere_is_finished_by_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marked rows whose bytes are gone, or not yet, are no obstacle."""
    for index in range(7):
        await store.files.put("alice", f"{index}.txt", b"x")
    store.clock.offset = LONG
    monkeypatch.setattr(sweep_module, "BATCH", 2)
    real, calls = disk_sweep.delete_blobs, 0

    def dies(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise asyncio.CancelledError
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(sweep_module, "delete_blobs", dies)
    with pytest.raises(asyncio.CancelledError):
        await store.sweeper.sweep()
    assert await rows(store) == 5
    monkeypatch.setattr(sweep_module, "delete_blobs", real)
    assert (await store.sweeper.sweep()).expired_files == 5
    assert (store.blob_count(), await rows(store)) == (0, 0)


async def test_a_sweep_is_recorded(store: Store) -> None:
    """Its report is a row, and the newest one tells when the last sweep was."""
    first = await store.sweeper.sweep()
    assert await store.sweeper.last_sweep() == first.started_at
    async with store.database.session() as connection:
        [row] = (await connection.execute(sa.select(sweeps))).all()
    assert row.report["expired_files"] == 0
    assert row.report["dry_run"] is False
