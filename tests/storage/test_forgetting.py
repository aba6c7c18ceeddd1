"""What is left of an owner who wants to be forgotten: no file, no name, no code, no output."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from itertools import permutations
from pathlib import Path

import pytest
import sqlalchemy as sa

from orchestrator.domain.limits import Limits
from orchestrator.domain.results import ExecutionRequest
from orchestrator.domain.states import ExecutionState as State
from orchestrator.storage.tables import execution_inputs, executions, files
from tests.storage.world import TTL, Store

STEPS = ("delete", "clear", "forget")
SECRET = b"a-secret-of-alice"


async def forgotten(store: Store, steps: tuple[str, ...]) -> None:
    """Do what an erasure does, in this order."""
    for step in steps:
        if step == "delete":
            for file in await store.files.list("alice"):
                await store.files.delete(file.file_id, "alice")
                await store.sweeper.end("alice")
        elif step == "clear":
            await store.sweeper.clear("alice")
        else:
            await store.executions.forget("alice")


async def rows(store: Store) -> int:
    """What the index has that could carry a word of somebody's."""
    async with store.database.session() as connection:
        counts = [
            await connection.scalar(sa.select(sa.func.count()).select_from(table))
            for table in (files, executions, execution_inputs)
        ]
    return sum(count or 0 for count in counts)


async def made(store: Store) -> Path:
    """A workspace after two executions: versions, subdirectories, and what is behind a dot."""
    workspace = await store.workspace()
    (workspace / "out" / "deep").mkdir(parents=True)
    (workspace / "out" / "deep" / "a.txt").write_text("first")
    (workspace / ".hidden.txt").write_text("a dot file")
    before = await store.workspaces.survey("alice", Limits())
    await store.keep("one")
    (workspace / "out" / "deep" / "a.txt").write_text("second version")
    for hidden in (".cache", "__pycache__", "out/.config/inner", "empty"):
        (workspace / hidden).mkdir(parents=True)
        (workspace / hidden / "bytes").write_text("left behind")
    (workspace / "empty" / "bytes").unlink()
    (workspace / "link").symlink_to("/")
    await store.keep("two", before=before)
    await store.files.put("alice", "upload.txt", b"uploaded")
    return workspace


@pytest.mark.parametrize("steps", list(permutations(STEPS)), ids="-".join)
async def test_nothing_is_left_in_whatever_order_it_is_erased(store: Store, steps: tuple[str, ...]) -> None:
    """Workspace, blobs and index are empty at once, without a sweep; another owner's are whole."""
    workspace = await made(store)
    other = await store.workspace("bob")
    (other / "kept.txt").write_text("of bob")
    await store.keep("three", "bob")
    await forgotten(store, steps)
    assert list(workspace.iterdir()) == []
    assert [file.filename for file in await store.files.list("bob")] == ["kept.txt"]
    assert (other / "kept.txt").exists()
    assert (store.blob_count(), await rows(store)) == (1, 2)


async def test_what_had_expired_or_was_lost_goes_as_well(store: Store) -> None:
    """A file that no list shows any more is forgotten with the others, name and bytes."""
    workspace = await store.workspace()
    (workspace / "old.txt").write_text("expired")
    await store.keep("one")
    store.clock.offset += 2 * TTL
    assert await store.files.list("alice") == []
    await forgotten(store, ("clear", "forget"))
    assert list(workspace.iterdir()) == []
    assert (store.blob_count(), await rows(store)) == (0, 0)


async def test_beside_a_running_program_its_files_are_left_to_it(store: Store) -> None:
    """Bytes of the deleted are gone from the store; copy and name follow once the program has ended."""
    workspace = await store.workspace()
    (workspace / "used.txt").write_text("read by the program")
    await store.keep("one")
    await store.begin("running")
    await forgotten(store, STEPS)
    assert (workspace / "used.txt").exists()
    assert store.blob_count() == 0
    assert [row.execution_id for row in await store.executions.list("alice")] == ["running"]
    now = await store.workspaces.survey("alice", Limits())
    await store.finish("running", await store.workspaces.harvest("alice", now, Limits()))
    await forgotten(store, STEPS)
    assert list(workspace.iterdir()) == []
    assert await rows(store) == 0


async def test_what_waits_for_a_program_costs_a_deletion_nothing(store: Store) -> None:
    """Marked once, and not looked at again by each deletion; a sweep does not mark it anew either."""
    workspace = await store.workspace()
    for name in ("a.txt", "b.txt"):
        (workspace / name).write_text("read by the program")
    await store.keep("one")
    await store.begin("running")
    await store.files.delete("a.txt", "alice")
    marked = await _marks(store)
    store.clock.offset += timedelta(seconds=1)
    with closing(sqlite3.connect(store.database.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")  # whoever wanted to write would wait, and fail
        assert await store.sweeper.end("alice") == 0
    await store.sweeper.sweep()
    assert await _marks(store) == marked
    assert len(marked) == 1


async def test_a_cleared_workspace_counts_the_copies_of_what_was_deleted(store: Store) -> None:
    """The answer is how many files went, stored once or never."""
    await made(store)
    for file in await store.files.list("alice"):
        await store.files.delete(file.file_id, "alice")
    assert (await store.sweeper.clear("alice")).files == 6


@pytest.mark.parametrize("size", [200, 200_000])
async def test_no_byte_of_forgotten_code_is_on_the_disk(store: Store, size: int) -> None:
    """Neither in free pages nor in the log, also where it filled pages of its own; others are untouched."""
    code = (SECRET * size)[:size].decode()
    later = store.clock.now()
    for name, owner in (("e1", "alice"), ("e2", "alice"), ("e3", "bob")):
        request = ExecutionRequest(code=code if owner == "alice" else "print('bob')", owner=owner)
        await store.executions.add(name, request, holder="test", until=later)
        await store.executions.move(name, State.QUEUED, State.FAILED, failure="because")
    assert SECRET in _on_disk(store)
    assert await store.executions.forget("alice") == 2
    assert SECRET not in _on_disk(store)
    assert (await store.executions.get("e3")).code == "print('bob')"


@pytest.mark.parametrize("rows", [1, 50, 300])
async def test_others_go_on_while_much_is_forgotten(store: Store, rows: int) -> None:
    """A little at a time, so that nobody waits for all of it, and the log never holds all of it."""
    size = 100_000
    await _fill(store, rows, size)
    log = store.database.path.with_name(f"{store.database.path.name}-wal")
    request = ExecutionRequest(code="print('bob')", owner="bob")
    forgetting = asyncio.create_task(store.executions.forget("alice"))
    await asyncio.sleep(0)  # it has its first turn
    await store.executions.add("b", request, holder="test", until=store.clock.now())
    left, peak = len(await store.executions.list("alice", rows)), 0
    while not forgetting.done():
        peak = max(peak, log.stat().st_size)
        await asyncio.sleep(0.001)
    assert await forgetting == rows
    assert (left > 0) == (rows > 50)
    assert peak < max(rows, 100) * size / 2 + size
    assert [row.execution_id for row in await store.executions.list()] == ["b"]
    assert log.stat().st_size == 0


async def test_a_reader_that_does_not_end_holds_up_no_erasure(store: Store) -> None:
    """The log is left for later then, and the rows are gone all the same."""
    later = store.clock.now()
    await store.executions.add("e1", ExecutionRequest(code="x", owner="alice"), holder="test", until=later)
    await store.executions.move("e1", State.QUEUED, State.FAILED, failure="because")
    with closing(sqlite3.connect(store.database.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM executions").fetchone()
        assert await store.executions.forget("alice") == 1
    assert await store.database.empty_log()
    assert await store.executions.list("alice") == []


def _on_disk(store: Store) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(store.root.glob("index.sqlite3*")))


async def _marks(store: Store) -> list[object]:
    async with store.database.session() as connection:
        marks = await connection.scalars(sa.select(files.c.deleted_at).where(files.c.deleted_at.is_not(None)))
        return list(marks.all())


async def _fill(store: Store, count: int, size: int) -> None:
    """Executions of alice that have ended, with output of this size each."""
    now = store.clock.now()
    row = {"owner": "alice", "state": State.FAILED, "created_at": now, "code": "x" * size}
    async with store.database.begin() as connection:
        await connection.execute(
            sa.insert(executions), [row | {"execution_id": f"e{number}"} for number in range(count)]
        )
    assert await store.database.empty_log()
