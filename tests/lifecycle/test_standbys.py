"""Standbys are bounded, of one owner, used once, and losing one costs a cold start and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from orchestrator import Orchestrator, Outcome, Refused, open_orchestrator
from orchestrator.domain.limits import GIB
from orchestrator.domain.outcomes import KillReason
from orchestrator.domain.sandbox import SandboxKind, SandboxSpec
from orchestrator.domain.states import ExecutionState as State
from orchestrator.errors import EngineFault
from orchestrator.lifecycle.holder import this_process
from tests.lifecycle.faulty import (
    DEAD,
    FaultyEngine,
    instance_of,
    leave_container,
    rows,
    settings_for,
    staged_in,
    until,
    until_queued,
)

GONE = EngineFault("The container was gone before its code was handed over: run it again.")


async def orchestrator_with(
    data_dir: Path, engine: FaultyEngine, *, maintain: bool = False, **changes: object
) -> AsyncIterator[Orchestrator]:
    """One with these settings."""
    settings = await settings_for(data_dir, **{"standby_count": 2, **changes})
    async with open_orchestrator(settings, engine=engine, maintain=maintain) as opened:
        yield opened


@pytest.fixture
async def orchestrator(data_dir: Path, engine: FaultyEngine) -> AsyncIterator[Orchestrator]:
    """Room for two standbys."""
    async for opened in orchestrator_with(data_dir, engine):
        yield opened


def standbys(engine: FaultyEngine) -> dict[str, str]:
    """The owners of the standbys that the engine has, by container."""
    return {
        identifier: sandbox.spec.owner
        for identifier, sandbox in engine.sandboxes.items()
        if sandbox.spec.kind is SandboxKind.STANDBY
    }


async def until_none(orchestrator: Orchestrator, engine: FaultyEngine) -> None:
    """Return when no standby is left, neither its process nor its staging."""

    async def none() -> bool:
        staged = await asyncio.to_thread(staged_in, orchestrator)
        return not standbys(engine) and not staged

    await until(none)


async def until_waiting(orchestrator: Orchestrator) -> None:
    """Return when a standby is ready."""

    async def one() -> bool:
        return (await orchestrator.get_interpreter_status()).standby == 1

    await until(one)


def only_warm(error: BaseException) -> Any:
    """A step that fails for a standby alone."""

    async def fail(spec: SandboxSpec) -> None:
        if spec.warm:
            raise error

    return fail


async def test_a_standby_is_used_once(orchestrator: Orchestrator, engine: FaultyEngine) -> None:
    """Wanted twice it is one; it runs one request, and the next one starts cold in another container."""
    assert await orchestrator.prewarm("ann")
    assert await orchestrator.prewarm("ann")
    assert list(standbys(engine).values()) == ["ann"]
    assert (await orchestrator.get_interpreter_status()).standby == 1
    first = await orchestrator.execute_code("print('first')", "ann")
    second = await orchestrator.execute_code("print('second')", "ann")
    assert (first.warm, first.output, first.outcome) == (True, "first\n", Outcome.OK)
    assert (second.warm, second.output) == (False, "second\n")
    containers = [row.container_id for row in await orchestrator.list_executions("ann")]
    assert len(set(containers)) == 2
    await until_none(orchestrator, engine)


async def test_a_standby_is_never_another_owners(orchestrator: Orchestrator, engine: FaultyEngine) -> None:
    """What was made for one is not handed to another, however long it waits."""
    assert await orchestrator.prewarm("ann")
    assert not (await orchestrator.execute_code("print(1)", "bob")).warm
    assert list(standbys(engine).values()) == ["ann"]
    assert (await orchestrator.execute_code("print(1)", "ann")).warm


async def test_the_least_recently_wanted_makes_room(orchestrator: Orchestrator, engine: FaultyEngine) -> None:
    """With room for two, the third takes the place of the one that was not wanted again."""
    for owner in ("ann", "bob", "ann", "cem"):
        assert await orchestrator.prewarm(owner)

    async def two() -> bool:
        return sorted(standbys(engine).values()) == ["ann", "cem"]

    await until(two)
    assert (await orchestrator.get_interpreter_status()).standby == 2


@pytest.mark.parametrize(("memory", "fit"), [(GIB - 1, 0), (GIB, 1), (2 * GIB - 1, 1)])
async def test_their_limits_together_stay_within_the_memory(
    data_dir: Path, engine: FaultyEngine, memory: int, fit: int
) -> None:
    """The sum of memory limits is bounded, and where not even one fits there is none."""
    async for orchestrator in orchestrator_with(data_dir, engine, standby_memory=memory):
        made = [await orchestrator.prewarm(owner) for owner in ("ann", "bob")]
        assert made == [fit > 0] * 2
        assert (await orchestrator.get_interpreter_status()).standby == fit


async def test_one_that_nobody_wants_goes(data_dir: Path, engine: FaultyEngine) -> None:
    """After its idle time it is removed; the next execution starts cold."""
    async for orchestrator in orchestrator_with(data_dir, engine, standby_idle=0.2):
        assert await orchestrator.prewarm("ann")
        await until_none(orchestrator, engine)
        assert (await orchestrator.get_interpreter_status()).standby == 0
        assert not (await orchestrator.execute_code("print(1)", "ann")).warm


async def test_none_is_made_while_executions_wait(data_dir: Path, engine: FaultyEngine) -> None:
    """A head start for one never costs another its turn."""
    async for orchestrator in orchestrator_with(data_dir, engine, slots=1):
        running = asyncio.create_task(orchestrator.execute_code("import time; time.sleep(600)", "ann"))
        waiting = asyncio.create_task(orchestrator.execute_code("print(1)", "bob"))
        await until_queued(orchestrator)
        assert not await orchestrator.prewarm("cem")
        running.cancel()
        assert (await waiting).output == "1\n"
        await asyncio.wait((running,))


async def test_a_death_while_it_waits_is_noticed(orchestrator: Orchestrator, engine: FaultyEngine) -> None:
    """Killed by whomever, it is cleared away, and the next execution starts cold."""
    assert await orchestrator.prewarm("ann")
    (victim,) = standbys(engine)
    await engine.sandboxes[victim].kill()
    await until_none(orchestrator, engine)
    result = await orchestrator.execute_code("print(1)", "ann")
    assert (result.warm, result.output) == (False, "1\n")


async def test_a_death_that_nobody_saw_costs_a_cold_start(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """Dead by the time it is taken, it is not given anything, and its successor runs the code once."""
    assert await orchestrator.prewarm("ann")
    engine.at["hand_over"] = only_warm(GONE)
    result = await orchestrator.execute_code("open('ran', 'a').write('x'); print(open('ran').read())", "ann")
    assert (result.warm, result.outcome, result.output) == (False, Outcome.OK, "x\n")
    await until_none(orchestrator, engine)


@pytest.mark.parametrize("step", ["create", "start"])
async def test_one_that_cannot_be_made_is_no_error(
    orchestrator: Orchestrator, engine: FaultyEngine, step: str
) -> None:
    """Prewarming then says False, leaves nothing, and code runs cold."""
    engine.at[step] = only_warm(EngineFault("Made up: try again."))
    assert not await orchestrator.prewarm("ann")
    await until_none(orchestrator, engine)
    assert (await orchestrator.execute_code("print(1)", "ann")).output == "1\n"


async def test_inputs_that_vanished_cost_a_cold_start(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """Where the directory that a standby has mounted is gone, the files are staged for a new container."""
    await orchestrator.upload_file("ann", b"1", "one.txt")
    assert await orchestrator.prewarm("ann")
    staging = orchestrator.settings.data_dir / "staging"
    (directory,) = await asyncio.to_thread(lambda: list(staging.iterdir()))
    await asyncio.to_thread(directory.rmdir)
    result = await orchestrator.execute_code("print(1)", "ann")
    assert (result.warm, result.output) == (False, "1\n")


async def test_one_made_for_other_limits_is_dropped(orchestrator: Orchestrator, engine: FaultyEngine) -> None:
    """Image, limits, runtime and uid decide whether a container is the one that would be made now."""
    assert await orchestrator.prewarm("ann")
    (spec,) = (sandbox.spec for sandbox in engine.sandboxes.values())
    kept = orchestrator._standbys
    for other in (
        replace(spec, limits=replace(spec.limits, memory=2 * spec.limits.memory)),
        replace(spec, uid=spec.uid + 1),
        replace(spec, image="sha256:" + "1" * 64),
        replace(spec, runtime="runsc"),
    ):
        assert await orchestrator.prewarm("ann")
        assert await kept.take(other) is None
        await until_none(orchestrator, engine)
    assert await orchestrator.prewarm("ann")
    longer = replace(spec, limits=replace(spec.limits, wall_seconds=5))
    taken = await kept.take(longer)
    assert taken is not None, "wall time is ours to keep, not the container's"
    await kept.discard(taken)


async def test_closing_removes_also_what_is_in_the_making(data_dir: Path, engine: FaultyEngine) -> None:
    """Neither the one that waits nor the one that is being started outlives the orchestrator."""
    reached = asyncio.Event()

    async def stall(spec: SandboxSpec) -> None:
        if spec.owner == "bob":
            reached.set()
            await asyncio.sleep(600)

    engine.at["start"] = stall
    async for orchestrator in orchestrator_with(data_dir, engine):
        assert await orchestrator.prewarm("ann")
        making = asyncio.create_task(orchestrator.prewarm("bob"))
        await reached.wait()
    assert not await making
    assert engine.sandboxes == {}
    assert await asyncio.to_thread(staged_in, orchestrator) == []


async def test_one_far_from_ready_is_not_waited_for(orchestrator: Orchestrator, engine: FaultyEngine) -> None:
    """The execution starts cold, and the standby in the making is there for the next one."""
    go = asyncio.Event()

    async def stall(spec: SandboxSpec) -> None:
        if spec.warm:
            await go.wait()

    engine.at["start"] = stall
    making = asyncio.create_task(orchestrator.prewarm("ann"))
    assert not (await orchestrator.execute_code("print(1)", "ann")).warm
    go.set()
    assert await making
    assert (await orchestrator.execute_code("print(1)", "ann")).warm


async def test_a_kill_noted_elsewhere_ends_what_was_just_handed_over(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """The code of a standby runs before the row says so; a kill that comes between still kills."""

    async def note(_: SandboxSpec) -> None:
        assert await rows(orchestrator).note_kill("x", KillReason.OPERATOR)

    assert await orchestrator.prewarm("ann")
    engine.at["hand_over"] = note
    code = "import time; print('began', flush=True); time.sleep(600)"
    result = await orchestrator.execute_code(code, "ann", execution_id="x")
    assert result.outcome is Outcome.KILLED
    assert (await orchestrator.get_execution("x")).state is State.CANCELLED


async def test_an_index_that_refuses_ends_what_was_just_handed_over(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """Code that the index knows nothing of does not go on running."""

    async def refuse(_: SandboxSpec) -> None:
        async with orchestrator.database.begin() as connection:
            await connection.exec_driver_sql(
                "CREATE TRIGGER refuse BEFORE UPDATE OF state ON executions WHEN new.state = 'RUNNING' "
                "BEGIN SELECT RAISE(FAIL, 'made up'); END"
            )

    assert await orchestrator.prewarm("ann")
    engine.at["hand_over"] = refuse
    with pytest.raises(IntegrityError, match="made up"):
        await orchestrator.execute_code("import time; time.sleep(600)", "ann", execution_id="x")
    await until_none(orchestrator, engine)
    assert (await orchestrator.get_execution("x")).state is State.FAILED


async def test_each_execution_leaves_a_standby_for_the_next(data_dir: Path, engine: FaultyEngine) -> None:
    """In a process that stays, the second of two executions is warm without anybody asking."""
    async for orchestrator in orchestrator_with(data_dir, engine, maintain=True, standby_after_run=True):
        assert not (await orchestrator.execute_code("print(1)", "ann")).warm
        await until_waiting(orchestrator)
        assert (await orchestrator.execute_code("print(2)", "ann")).warm


async def test_an_execution_cannot_be_called_like_a_standby(orchestrator: Orchestrator) -> None:
    """So nobody's code can have the inputs that wait for another."""
    with pytest.raises(Refused, match="standby-1"):
        await orchestrator.execute_code("print(1)", "ann", execution_id="standby-1")


async def test_the_reaper_knows_whose_standby_it_is(orchestrator: Orchestrator, engine: FaultyEngine) -> None:
    """Ours and a living process's stay; a dead one's goes with its inputs, and so does an ancient one."""
    assert await orchestrator.prewarm("ann")
    ours = await asyncio.to_thread(this_process)
    boot = ours.partition(":")[0]
    holders = {"dead": f"{boot}:1:1", "living": f"{boot}:1:{await start_of_init()}", "unknown": DEAD}
    for name, holder in holders.items():
        made = await leave_container(engine, orchestrator, f"standby-{name}", kind=SandboxKind.STANDBY)
        made.spec = replace(made.spec, holder=holder)
    await asyncio.to_thread((orchestrator.settings.data_dir / "staging" / "standby-dead").mkdir)
    await orchestrator.reap()
    await orchestrator.reap()
    left = {sandbox.spec.execution_id: sandbox for sandbox in engine.sandboxes.values()}
    assert {"standby-living", "standby-unknown"} < set(left)
    assert "standby-dead" not in left
    assert len(left) == 3
    assert "standby-dead" not in await asyncio.to_thread(staged_in, orchestrator)
    left["standby-unknown"].created_at = datetime.now(UTC) - timedelta(days=1)
    await orchestrator.reap()
    assert len(engine.sandboxes) == 2
    assert (await orchestrator.execute_code("print(1)", "ann")).warm, f"{instance_of(orchestrator)}'s own"


async def start_of_init() -> str:
    """When process 1 of this host started, in the kernel's ticks."""
    stat = await asyncio.to_thread(Path("/proc/1/stat").read_text)
    return stat.rpartition(")")[2].split()[19]
