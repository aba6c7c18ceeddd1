"""Rows move along the edges of the state machine, once, and only for whoever holds the lease."""

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa

from orchestrator.domain.files import Harvest, HarvestedFile, ManifestEntry, StoredFile, new_file_id
from orchestrator.domain.limits import Capacity
from orchestrator.domain.outcomes import Outcome
from orchestrator.domain.results import ExecutionRequest, ExecutionResult, Timings
from orchestrator.domain.states import ExecutionState as State
from orchestrator.errors import ExecutionNotFound, IllegalTransition, InvalidRequest, LeaseLost, StorageFault
from orchestrator.storage.database import Database
from orchestrator.storage.executions import SqlExecutions
from orchestrator.storage.files import SqlFiles
from orchestrator.storage.tables import files as files_table
from tests.storage.moved_clock import MovedClock

LEASE = timedelta(seconds=30)
EMPTY = Harvest(files=(), skipped=())


def _result(execution_id: str, found: tuple[HarvestedFile, ...] = ()) -> ExecutionResult:
    return ExecutionResult(
        execution_id=execution_id,
        owner="123",
        success=True,
        outcome=Outcome.OK,
        exit_code=0,
        hint=None,
        output="né\n\x00",
        error="",
        output_bytes=5,
        error_bytes=0,
        truncated=False,
        execution_time=0.5,
        timings=Timings(run=0.5),
        warm=False,
        generated_files=tuple(one.file for one in found),
        generated_file_ids=tuple(one.file.file_id for one in found),
        skipped_files=(),
        image="sha256:1",
        runtime="runc",
    )


def _harvested(clock: MovedClock, name: str, file_id: str | None = None) -> HarvestedFile:
    now = clock.now()
    file = StoredFile(
        file_id=file_id or new_file_id("123", now),
        filename=name,
        path=f"out/{name}",
        type="data",
        media_type="text/csv",
        size=3,
        sha256="0" * 64,
        created_at=now,
        expires_at=now + timedelta(hours=48),
    )
    entry = ManifestEntry(inode=7, size=3, mtime_ns=1, ctime_ns=2)
    return HarvestedFile(file=file, workspace_path=b"out/\xff" + name.encode(), entry=entry)


async def _at(
    executions: SqlExecutions, clock: MovedClock, state: State, *, name: str = "e1", owner: str = "123"
) -> None:
    """A row in `state`, held by "us"."""
    until = clock.now() + LEASE
    await executions.add(name, ExecutionRequest(code="print(1)", owner=owner), holder="us", until=until)
    if state is State.QUEUED:
        return
    assert await executions.claim(name, holder="us", until=until, image="sha256:1", runtime="runc")
    for old, new in ((State.PREPARING, State.RUNNING), (State.RUNNING, State.HARVESTING)):
        if state is old:
            return
        await executions.move(name, old, new, holder="us")


async def test_a_row_tells_everything_that_was_written(executions: SqlExecutions, clock: MovedClock) -> None:
    """An execution comes back from the index as it went in, at every state."""
    request = ExecutionRequest(code="x = '\N{SNOWMAN}'", owner="123", user_files=("a.csv",), timeout=5.0)
    added = await executions.add("e1", request, holder="us", until=clock.now() + LEASE)
    assert await executions.get("e1") == added
    assert (added.state, added.created_at, added.user_files) == (State.QUEUED, clock.now(), ("a.csv",))
    await executions.claim("e1", holder="us", until=clock.now() + LEASE, image="sha256:1", runtime="runsc")
    await executions.move("e1", State.PREPARING, State.RUNNING, container_id="c1", started_at=clock.now())
    row = await executions.get("e1")
    assert (row.state, row.image, row.runtime) == (State.RUNNING, "sha256:1", "runsc")
    assert (row.container_id, row.started_at, row.lease_holder) == ("c1", clock.now(), "us")


async def test_a_commit_writes_files_result_and_end_together(
    executions: SqlExecutions, files: SqlFiles, clock: MovedClock
) -> None:
    """After the commit the result, the state and the files are all there."""
    await _at(executions, clock, State.HARVESTING)
    harvest = Harvest(files=(_harvested(clock, "a.csv"), _harvested(clock, "b.csv")), skipped=())
    result = _result("e1", harvest.files)
    await executions.commit(result, harvest, old=State.HARVESTING, new=State.COMPLETED, holder="us")
    row = await executions.get("e1")
    assert (row.state, row.result, row.finished_at) == (State.COMPLETED, result, clock.now())
    assert {file.file_id for file in await files.list("123")} == set(result.generated_file_ids)


async def test_a_commit_without_the_lease_writes_nothing(
    executions: SqlExecutions, files: SqlFiles, clock: MovedClock
) -> None:
    """Whoever lost the lease cannot leave a file or an outcome behind."""
    await _at(executions, clock, State.HARVESTING)
    row = await executions.get("e1")
    assert await executions.take_over(row, holder="them", until=clock.now() + LEASE)
    harvest = Harvest(files=(_harvested(clock, "a.csv"),), skipped=())
    with pytest.raises(LeaseLost, match="nothing was written"):
        await executions.commit(
            _result("e1", harvest.files), harvest, old=State.HARVESTING, new=State.COMPLETED, holder="us"
        )
    assert await files.list("123") == []
    assert (await executions.get("e1")).state is State.HARVESTING


async def test_a_commit_whose_file_id_is_taken_writes_nothing(
    executions: SqlExecutions, files: SqlFiles, clock: MovedClock
) -> None:
    """A clash of one file's id undoes the state, the result and the other files."""
    taken = (await files.put("123", "old.csv", b"old")).file_id
    await _at(executions, clock, State.HARVESTING)
    harvest = Harvest(files=(_harvested(clock, "a.csv"), _harvested(clock, "b.csv", taken)), skipped=())
    with pytest.raises(StorageFault, match="run it again"):
        await executions.commit(
            _result("e1", harvest.files), harvest, old=State.HARVESTING, new=State.COMPLETED, holder="us"
        )
    assert [file.filename for file in await files.list("123")] == ["old.csv"]
    assert (await executions.get("e1")).result is None


async def test_only_one_of_many_commits_wins(executions: SqlExecutions, clock: MovedClock) -> None:
    """The terminal state is written once, however many try."""
    await _at(executions, clock, State.HARVESTING)
    tries = [
        executions.commit(_result("e1"), EMPTY, old=State.HARVESTING, new=State.COMPLETED, holder="us")
        for _ in range(8)
    ]
    ends = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["LeaseLost"] * 7 + ["NoneType"]


async def test_the_workspace_copy_is_remembered_byte_for_byte(
    executions: SqlExecutions, database: Database, clock: MovedClock
) -> None:
    """A workspace path that is no text is kept as the kernel has it."""
    await _at(executions, clock, State.HARVESTING)
    found = _harvested(clock, "a.csv")
    harvest = Harvest(files=(found,), skipped=())
    await executions.commit(
        _result("e1", (found,)), harvest, old=State.HARVESTING, new=State.COMPLETED, holder="us"
    )
    async with database.session() as connection:
        row = (await connection.execute(sa.select(files_table))).one()
    assert row.workspace_path == b"out/\xffa.csv"
    assert (row.ws_inode, row.ws_size, row.ws_mtime_ns, row.ws_ctime_ns) == (7, 3, 1, 2)
    assert row.execution_id == "e1"


@pytest.mark.parametrize(
    ("old", "new"),
    [(State.QUEUED, State.RUNNING), (State.RUNNING, State.COMPLETED), (State.LOST, State.QUEUED)],
)
async def test_an_edge_that_does_not_exist_is_refused(
    executions: SqlExecutions, old: State, new: State
) -> None:
    """The machine is asked before the index is, by name of the pair."""
    with pytest.raises(IllegalTransition, match=f"from {old} to {new}"):
        await executions.move("e1", old, new)
    with pytest.raises(IllegalTransition):
        await executions.commit(_result("e1"), EMPTY, old=old, new=new, holder="us")


async def test_a_move_from_a_state_that_is_past_is_lost(executions: SqlExecutions, clock: MovedClock) -> None:
    """A second move along the same edge changes nothing."""
    await _at(executions, clock, State.RUNNING)
    with pytest.raises(LeaseLost):
        await executions.move("e1", State.PREPARING, State.RUNNING, container_id="other")
    assert (await executions.get("e1")).container_id is None


async def test_a_move_by_another_holder_is_lost(executions: SqlExecutions, clock: MovedClock) -> None:
    """A holder that was replaced cannot move the row."""
    await _at(executions, clock, State.RUNNING)
    with pytest.raises(LeaseLost):
        await executions.move("e1", State.RUNNING, State.HARVESTING, holder="them")
    assert (await executions.get("e1")).state is State.RUNNING


async def test_one_owner_has_one_claim_at_a_time(executions: SqlExecutions, clock: MovedClock) -> None:
    """A second execution of the owner waits until the first is over; another owner's does not."""
    await _at(executions, clock, State.RUNNING)
    await _at(executions, clock, State.QUEUED, name="e2")
    await _at(executions, clock, State.PREPARING, name="e3", owner="456")

    async def claim() -> bool:
        return await executions.claim("e2", holder="us", until=clock.now() + LEASE, image="i", runtime="runc")

    assert not await claim()
    await executions.move("e1", State.RUNNING, State.FAILED, holder="us", failure="broken")
    assert await claim()


async def test_of_many_claims_at_once_one_wins(executions: SqlExecutions, clock: MovedClock) -> None:
    """The index itself decides which execution of an owner goes first."""
    names = [f"e{number}" for number in range(6)]
    for name in names:
        await _at(executions, clock, State.QUEUED, name=name)
    until = clock.now() + LEASE
    claims = [executions.claim(name, holder="us", until=until, image="i", runtime="r") for name in names]
    assert sorted(await asyncio.gather(*claims)) == [False] * 5 + [True]


@pytest.mark.parametrize(("slots", "memory"), [(1, 100), (9, 10)])
async def test_a_claim_waits_while_other_processes_fill_the_host(
    executions: SqlExecutions, clock: MovedClock, slots: int, memory: int
) -> None:
    """Slots and memory are counted over everything past its claim; what a crash left counts for a lease."""
    await _at(executions, clock, State.QUEUED)
    await _at(executions, clock, State.QUEUED, name="e2", owner="456")

    async def claim(name: str) -> bool:
        return await executions.claim(
            name,
            holder="us",
            until=clock.now() + LEASE,
            image="i",
            runtime="r",
            memory=6,
            capacity=Capacity(slots=slots, memory=memory),
        )

    assert await claim("e1")
    assert (await executions.get("e1")).memory == 6
    assert not await claim("e2")
    clock.advance(LEASE)
    assert await claim("e2")


async def test_what_is_larger_than_the_host_is_claimed_when_nothing_else_is(
    executions: SqlExecutions, clock: MovedClock
) -> None:
    """It would wait for ever otherwise."""
    await _at(executions, clock, State.QUEUED)
    until, room = clock.now() + LEASE, Capacity(slots=1, memory=1)
    assert await executions.claim(
        "e1", holder="us", until=until, image="i", runtime="r", memory=2, capacity=room
    )


async def test_a_claim_of_what_is_not_waiting_is_lost(executions: SqlExecutions, clock: MovedClock) -> None:
    """A row that was cancelled or taken over is an end, not something to poll for."""
    await _at(executions, clock, State.QUEUED)
    await executions.move("e1", State.QUEUED, State.CANCELLED)
    with pytest.raises(LeaseLost):
        await executions.claim("e1", holder="us", until=clock.now(), image="i", runtime="r")


async def test_a_lease_is_renewed_by_its_holder_alone(executions: SqlExecutions, clock: MovedClock) -> None:
    """Another holder, or an execution that is over, cannot be renewed."""
    await _at(executions, clock, State.RUNNING)
    later = clock.now() + 2 * LEASE
    await executions.renew("e1", "us", later)
    assert (await executions.get("e1")).lease_expires_at == later
    with pytest.raises(LeaseLost):
        await executions.renew("e1", "them", later)
    await executions.move("e1", State.RUNNING, State.FAILED)
    with pytest.raises(LeaseLost):
        await executions.renew("e1", "us", later)


async def test_a_row_is_taken_over_once(executions: SqlExecutions, clock: MovedClock) -> None:
    """Two reapers that read the same row do not both get it, nor one that read it before a renewal."""
    await _at(executions, clock, State.RUNNING)
    row = await executions.get("e1")
    assert await executions.take_over(row, holder="reaper", until=clock.now() + LEASE)
    assert not await executions.take_over(row, holder="other", until=clock.now() + LEASE)
    assert (await executions.get("e1")).lease_holder == "reaper"


async def test_inputs_are_remembered_in_order(
    executions: SqlExecutions, files: SqlFiles, clock: MovedClock
) -> None:
    """What an execution could read is still known when the file is gone."""
    one, two = [await files.put("123", f"{n}.csv", b"x") for n in (1, 2)]
    await _at(executions, clock, State.PREPARING)
    ids = (two.file_id, one.file_id)
    await executions.move("e1", State.PREPARING, State.RUNNING, input_file_ids=ids)
    await files.delete(one.file_id, "123")
    assert (await executions.get("e1")).input_file_ids == ids


async def test_an_id_is_used_once(executions: SqlExecutions, clock: MovedClock) -> None:
    """A second execution with the same id is the caller's mistake and said so."""
    await _at(executions, clock, State.QUEUED)
    with pytest.raises(InvalidRequest, match="already used"):
        await _at(executions, clock, State.QUEUED)


async def test_find_takes_a_unique_beginning(executions: SqlExecutions, clock: MovedClock) -> None:
    """A prefix names an execution where only one has it, and a whole id always does; `%` is no wildcard."""
    for name in ("abc", "abcd", "xyz"):
        await _at(executions, clock, State.QUEUED, name=name)
    assert (await executions.find("x")).execution_id == "xyz"
    assert (await executions.find("abc")).execution_id == "abc"
    with pytest.raises(ExecutionNotFound, match="Several"):
        await executions.find("ab")
    for unknown in ("", "%", "_yz", "XYZ"):
        with pytest.raises(ExecutionNotFound):
            await executions.find(unknown)


async def test_lists_are_newest_first_and_bounded(executions: SqlExecutions, clock: MovedClock) -> None:
    """A listing is of one owner or of all, and no longer than asked."""
    for number in range(4):
        await _at(executions, clock, State.QUEUED, name=f"e{number}", owner="456" if number == 2 else "123")
    assert [row.execution_id for row in await executions.list("123", limit=2)] == ["e3", "e1"]
    assert [row.execution_id for row in await executions.list()] == ["e3", "e2", "e1", "e0"]


async def test_what_is_over_is_forgotten_what_is_not_stays(
    executions: SqlExecutions, clock: MovedClock
) -> None:
    """What waits or runs is somebody's work; another owner's rows are nobody's business."""
    for name, owner in (("mine", "123"), ("theirs", "456")):
        await _at(executions, clock, State.HARVESTING, name=name, owner=owner)
        await executions.commit(_result(name), EMPTY, old=State.HARVESTING, new=State.COMPLETED, holder="us")
    await _at(executions, clock, State.RUNNING, name="runs")
    await _at(executions, clock, State.QUEUED, name="waits")
    assert await executions.forget("123") == 1
    assert {row.execution_id for row in await executions.list()} == {"theirs", "runs", "waits"}
    assert await executions.forget("123") == 0


async def test_unfinished_is_oldest_first(executions: SqlExecutions, clock: MovedClock) -> None:
    """The reaper sees every row that is not terminal and no other."""
    for number, state in enumerate((State.QUEUED, State.RUNNING, State.HARVESTING)):
        await _at(executions, clock, state, name=f"e{number}", owner=str(number))
    await executions.move("e1", State.RUNNING, State.LOST)
    assert [row.execution_id for row in await executions.unfinished()] == ["e0", "e2"]
