"""What a sweep removes, what it leaves, and that index and disk agree afterwards."""

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from orchestrator.domain.files import Harvest
from orchestrator.domain.limits import Limits
from orchestrator.domain.results import ExecutionRequest
from orchestrator.errors import FileNotFoundOrExpired, StorageFault
from orchestrator.storage import holds
from orchestrator.storage.tables import files, owners, sweeps
from tests.storage.world import NOTHING, Store

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


async def test_the_rows_of_a_running_owner_wait_with_their_copies(store: Store) -> None:
    """A deleted file is gone for readers at once; its copy goes with the first sweep after the program."""
    workspace = await store.workspace()
    (workspace / "a.txt").write_text("x")
    [found] = (await store.keep("x")).files
    await store.begin("running")
    await store.files.delete(found.file.file_id, "alice")
    await store.sweeper.sweep()
    assert (workspace / "a.txt").exists()
    assert (store.blob_count(), await rows(store)) == (0, 1)
    await store.finish("running", Harvest(files=(), skipped=()))
    assert (await store.sweeper.sweep()).workspace_files == 1
    assert (list(workspace.iterdir()), await rows(store)) == ([], 0)


async def test_the_workspace_copy_of_a_lost_blob_is_kept(store: Store) -> None:
    """It is the last copy there is: the next execution still finds it."""
    workspace = await store.workspace()
    (workspace / "a.txt").write_text("the last copy")
    [found] = (await store.keep("x")).files
    store.blobs.path(found.file.file_id).unlink()
    assert (await store.sweeper.sweep()).missing_blobs == 1
    await store.sweeper.sweep()
    assert await rows(store) == 0
    assert (workspace / "a.txt").read_text() == "the last copy"


async def test_a_blob_store_that_is_not_mounted_costs_no_row(store: Store) -> None:
    """Where nothing of a hundred files is found the sweep stops with a sentence, and all comes back."""
    workspace = await store.workspace()
    for number in range(100):
        (workspace / f"{number}.txt").write_text("x")
    await store.keep("x")
    blobs = store.root / "blobs"
    blobs.rename(store.root / "unmounted")
    blobs.mkdir()
    with pytest.raises(StorageFault, match="check that its disk is mounted"):
        await store.sweeper.sweep()
    blobs.rmdir()
    (store.root / "unmounted").rename(blobs)
    assert (await store.sweeper.sweep()).missing_blobs == 0
    assert len(await store.files.list("alice")) == 100


async def test_a_clock_that_jumped_does_not_cost_a_harvest_its_blobs(store: Store) -> None:
    """What an execution under way has written is spared, however old it looks."""
    workspace = await store.workspace()
    (workspace / "a.txt").write_text("x")
    await store.begin("running")
    harvest = await store.workspaces.harvest("alice", NOTHING, Limits())
    store.clock.offset = timedelta(hours=3)
    assert (await store.sweeper.sweep()).orphan_blobs == 0
    await store.finish("running", harvest)
    assert await store.files.read("a.txt", "alice") == b"x"


async def test_a_hold_that_nobody_gave_back_lapses(store: Store) -> None:
    """A sweep that was killed keeps an owner waiting for seconds, and not at all after a clock set back."""
    await store.workspace()
    async with store.database.begin() as connection:
        await holds.hold(connection, owners.c.id == "alice", store.clock.now())
    until = store.clock.now() + timedelta(days=1)
    await store.executions.add("x", ExecutionRequest(code="", owner="alice"), holder="test", until=until)

    async def claimed() -> bool:
        return await store.executions.claim("x", holder="test", until=until, image="i", runtime="r")

    assert not await claimed()
    store.clock.offset = -timedelta(hours=1)
    assert await claimed()
    async with store.database.begin() as connection:
        held = await holds.hold(connection, owners.c.id == "alice", store.clock.now())
    assert held.owners == frozenset()


async def test_a_workspace_is_held_while_anything_is_removed_from_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored copies and leavings alike; afterwards the next execution goes on at once."""
    workspace = await store.workspace()
    (workspace / "stored.txt").write_text("x")
    await store.keep("x")
    (workspace / "never.txt").write_text("x")
    store.clock.offset = LONG
    held, unlink = [], os.unlink

    def look(path: str, **named: int) -> None:
        with closing(sqlite3.connect(store.database.path)) as index:
            [until] = index.execute("SELECT swept_until FROM owners WHERE id = 'alice'").fetchone()
        held.append((os.fsdecode(path), until is not None))
        unlink(path, **named)

    monkeypatch.setattr(os, "unlink", look)
    assert (await store.sweeper.sweep()).workspace_files == 2
    assert {("stored.txt", True), ("never.txt", True)} <= set(held)
    await store.begin("y")


async def test_a_workspace_that_no_owner_has_goes_when_it_is_old(store: Store) -> None:
    """What an index of before has left is no trace for ever."""
    stray = store.root / "workspaces" / "nobody"
    stray.mkdir(parents=True)
    (stray / "a.txt").write_text("x")
    assert (await store.sweeper.sweep()).workspace_files == 0
    store.clock.offset = LONG
    assert (await store.sweeper.sweep()).workspace_files == 1
    assert not stray.exists()


async def test_a_sweep_is_recorded(store: Store) -> None:
    """Its report is a row, and the newest one tells when the last sweep was."""
    first = await store.sweeper.sweep()
    assert await store.sweeper.last_sweep() == first.started_at
    async with store.database.session() as connection:
        [row] = (await connection.execute(sa.select(sweeps))).all()
    assert row.report["expired_files"] == 0
    assert row.report["dry_run"] is False
