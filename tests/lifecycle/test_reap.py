"""What a dead process left gets an end, what lives is not touched, and a dry run only tells."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator import Orchestrator, Outcome, open_orchestrator
from orchestrator.domain.sandbox import SandboxKind, SandboxSpec
from orchestrator.domain.states import ExecutionState as State
from orchestrator.lifecycle.holder import this_process
from tests.e2e.support import MovableClock
from tests.lifecycle.faulty import (
    FaultyEngine,
    instance_of,
    leave_container,
    leave_row,
    rows,
    settings_for,
    staged_in,
    states,
)

UNFINISHED = [State.QUEUED, State.PREPARING, State.RUNNING, State.HARVESTING]
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def workspace(orchestrator: Orchestrator) -> Path:
    """The workspace of the owner `o`, opened."""
    await orchestrator.prewarm("o")
    return orchestrator.settings.data_dir / "workspaces" / "o"


@pytest.mark.parametrize("state", UNFINISHED)
async def test_what_died_in_any_state_is_lost_and_says_where(
    orchestrator: Orchestrator, engine: FaultyEngine, workspace: Path, state: State
) -> None:
    """The row ends with a sentence that names the state, its container and staging go, the owner goes on."""
    await leave_row(orchestrator, "x", state)
    await leave_container(engine, orchestrator, "x")
    staging = orchestrator.settings.data_dir / "staging" / "x"
    await asyncio.to_thread(staging.mkdir, parents=True)
    report = await orchestrator.reap()
    assert report.lost_executions == ("x",)
    assert engine.sandboxes == {}
    assert staged_in(orchestrator) == []
    execution = await orchestrator.get_execution("x")
    assert execution.state is State.LOST
    assert f"while this execution was {state}" in (execution.failure or "")
    assert (execution.failure or "").endswith("Run it again.")
    assert execution.result is not None
    assert (execution.result.outcome, execution.result.exit_code) == (Outcome.KILLED, None)
    assert execution.result.hint == execution.failure
    assert (await states(orchestrator, "x"))[-2:] == [state, "LOST"]
    assert (await orchestrator.execute_code("print(1)", "o")).success


@pytest.mark.parametrize(("state", "kept"), list(zip(UNFINISHED, [0, 0, 1, 1], strict=True)))
async def test_files_are_kept_of_what_may_have_written_them(
    orchestrator: Orchestrator, workspace: Path, state: State, kept: int
) -> None:
    """What lay there before any code ran is not taken for its work."""
    await leave_row(orchestrator, "x", state)
    await asyncio.sleep(0.02)
    (workspace / "made.txt").write_text("made")
    report = await orchestrator.reap()
    assert report.harvested_files == kept
    files = await orchestrator.list_user_files("o")
    assert len(files) == kept
    result = (await orchestrator.get_execution("x")).result
    assert result is not None
    assert result.generated_file_ids == tuple(file.file_id for file in files)


async def test_older_files_are_not_its_work(orchestrator: Orchestrator, workspace: Path) -> None:
    """Of a lost execution only what is newer than its start is kept."""
    (workspace / "older.txt").write_text("older")
    await asyncio.sleep(0.05)
    await leave_row(orchestrator, "x", State.RUNNING)
    await asyncio.sleep(0.05)
    (workspace / "newer.txt").write_text("newer")
    await orchestrator.reap()
    assert [file.path for file in await orchestrator.list_user_files("o")] == ["newer.txt"]


@pytest.mark.parametrize("state", UNFINISHED)
async def test_a_dry_run_tells_and_changes_nothing(
    orchestrator: Orchestrator, engine: FaultyEngine, workspace: Path, state: State
) -> None:
    """It names what is lost; row, container and lease stay as they are."""
    await leave_row(orchestrator, "x", state)
    container = await leave_container(engine, orchestrator, "x")
    before = await orchestrator.get_execution("x")
    dry = await orchestrator.reap(dry_run=True)
    assert dry.dry_run
    assert (dry.lost_executions, dry.harvested_files) == (("x",), 0)
    assert await orchestrator.get_execution("x") == before
    assert list(engine.sandboxes) == [container.container_id]


@pytest.mark.parametrize("state", UNFINISHED)
async def test_a_living_lease_is_not_touched(
    orchestrator: Orchestrator, engine: FaultyEngine, workspace: Path, state: State
) -> None:
    """Another process may be at work on another host: its row and container stay until the lease lapses."""
    await leave_row(orchestrator, "x", state, lease=MINUTE)
    container = await leave_container(engine, orchestrator, "x")
    report = await orchestrator.reap()
    assert (report.lost_executions, report.removed_containers) == ((), ())
    assert (await orchestrator.get_execution("x")).state is state
    assert list(engine.sandboxes) == [container.container_id]


async def test_a_holder_that_died_on_this_host_is_not_waited_for(
    orchestrator: Orchestrator, workspace: Path
) -> None:
    """Its lease has an hour left, but its process is gone."""
    ours = await asyncio.to_thread(this_process)
    boot = ours.partition(":")[0]
    await leave_row(orchestrator, "x", State.RUNNING, holder=f"{boot}:{2**22 + 1}:1", lease=60 * MINUTE)
    await leave_row(orchestrator, "y", State.RUNNING, owner="p", holder=ours, lease=60 * MINUTE)
    assert (await orchestrator.reap()).lost_executions == ("x",)
    assert (await orchestrator.get_execution("y")).state is State.RUNNING


async def test_a_container_without_a_row_goes(orchestrator: Orchestrator, engine: FaultyEngine) -> None:
    """Nobody will ever ask for it."""
    container = await leave_container(engine, orchestrator, "unknown")
    report = await orchestrator.reap()
    assert report.removed_containers == (container.container_id,)
    assert engine.sandboxes == {}


async def test_the_container_of_what_is_over_goes(orchestrator: Orchestrator, engine: FaultyEngine) -> None:
    """A removal that failed after the commit is made up for; the row is not changed by it."""
    await orchestrator.execute_code("print(1)", "o", execution_id="x")
    await orchestrator.close()
    before = await orchestrator.get_execution("x")
    container = await leave_container(engine, orchestrator, "x")
    report = await orchestrator.reap()
    assert (report.lost_executions, report.removed_containers) == ((), (container.container_id,))
    assert await orchestrator.get_execution("x") == before


async def test_another_installations_container_is_not_ours_to_remove(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """Two installations share an engine and know nothing of each other's rows."""
    foreign = await leave_container(engine, orchestrator, "x", instance="another")
    assert instance_of(orchestrator) != "another"
    assert (await orchestrator.reap()).removed_containers == ()
    assert list(engine.sandboxes) == [foreign.container_id]


@pytest.mark.parametrize("kind", [SandboxKind.STANDBY, SandboxKind.PROBE])
async def test_only_containers_of_executions_are_reaped(
    orchestrator: Orchestrator, engine: FaultyEngine, kind: SandboxKind
) -> None:
    """What else this installation runs has no row, and is not lost for that."""
    await leave_container(engine, orchestrator, "x", kind=kind)
    assert (await orchestrator.reap()).removed_containers == ()
    assert len(engine.sandboxes) == 1


async def test_a_second_reap_finds_nothing(orchestrator: Orchestrator, workspace: Path) -> None:
    """An end is an end: nothing is harvested or reported twice."""
    await leave_row(orchestrator, "x", State.RUNNING)
    (workspace / "made.txt").write_text("made")
    await orchestrator.reap()
    again = await orchestrator.reap()
    assert (again.lost_executions, again.removed_containers, again.harvested_files) == ((), (), 0)
    assert len(await orchestrator.list_user_files("o")) == 1


async def test_two_reapers_end_an_execution_once(
    orchestrator: Orchestrator, engine: FaultyEngine, workspace: Path
) -> None:
    """Whoever takes the row over first reports it; the other reports nothing."""
    await leave_row(orchestrator, "x", State.RUNNING)
    (workspace / "made.txt").write_text("made")
    async with open_orchestrator(orchestrator.settings, engine=engine, maintain=False) as other:
        reports = await asyncio.gather(orchestrator.reap(), other.reap())
    assert sorted(report.lost_executions for report in reports) == [(), ("x",)]
    assert len(await orchestrator.list_user_files("o")) == 1


async def test_a_reap_beside_a_running_execution_leaves_it_alone(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """The maintenance of a service does not end what the service runs."""
    reports = []

    async def reap(_: SandboxSpec) -> None:
        reports.append(await orchestrator.reap())

    engine.at = {"create": reap, "start": reap, "hand_over": reap, "wait": reap}
    assert (await orchestrator.execute_code("print(1)", "o", execution_id="x")).output == "1\n"
    assert len(reports) == 4
    assert all(not report.lost_executions and not report.removed_containers for report in reports)


async def test_a_lapsed_lease_is_lost_even_to_its_living_holder(data_dir: Path, engine: FaultyEngine) -> None:
    """A lease is a promise about time: past it, whoever looks may end the row."""
    clock = MovableClock()
    settings = await settings_for(data_dir)
    async with open_orchestrator(settings, engine=engine, clock=clock, maintain=False) as orchestrator:
        ours = await asyncio.to_thread(this_process)
        await orchestrator.prewarm("o")
        await leave_row(orchestrator, "x", State.RUNNING, holder=ours, lease=MINUTE)
        assert (await orchestrator.reap()).lost_executions == ()
        clock.move(minutes=2)
        assert (await orchestrator.reap()).lost_executions == ("x",)
        assert await rows(orchestrator).unfinished() == []
