"""Whatever fails, and wherever: the row says so, nothing is left behind and the owner can go on."""

import asyncio
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator import Orchestrator, open_orchestrator
from orchestrator.domain.sandbox import SandboxSpec, Stream
from orchestrator.domain.states import ExecutionState as State
from orchestrator.errors import (
    EngineFault,
    FileNotFoundOrExpired,
    LeaseLost,
    LockdownMismatch,
    SandglassError,
    StorageFault,
)
from tests.lifecycle.faulty import FaultyEngine, execute, raising, rows, settings_for, staged_in, states

SENTENCE = "The engine has hiccups: wait a moment."
STARTED = ["QUEUED", "PREPARING", "RUNNING"]


async def assert_all_is_given_back(orchestrator: Orchestrator, engine: FaultyEngine) -> None:
    """No container, no staging, no slot in use, and the same owner's next execution succeeds."""
    engine.at.clear()
    await orchestrator.close()
    assert engine.sandboxes == {}
    assert staged_in(orchestrator) == []
    status = await orchestrator.get_interpreter_status()
    assert (status.running, status.queued) == (0, 0)
    assert (await orchestrator.execute_code("print(1)", "o")).output == "1\n"


@pytest.mark.parametrize(
    ("step", "seen"),
    [("create", STARTED[:2]), ("start", STARTED), ("hand_over", STARTED), ("wait", STARTED)],
)
async def test_a_fault_of_the_engine_fails_the_execution_with_its_sentence(
    orchestrator: Orchestrator, engine: FaultyEngine, step: str, seen: list[str]
) -> None:
    """The caller gets the fault, the row its sentence, and nothing is left."""
    engine.at[step] = raising(EngineFault(SENTENCE))
    with pytest.raises(EngineFault, match="hiccups"):
        await orchestrator.execute_code("print(1)", "o", execution_id="x")
    execution = await orchestrator.get_execution("x")
    assert (execution.state, execution.failure) == (State.FAILED, SENTENCE)
    assert execution.result is None
    assert execution.finished_at is not None
    assert await states(orchestrator, "x") == [*seen, "FAILED"]
    await assert_all_is_given_back(orchestrator, engine)


@pytest.mark.parametrize("step", ["create", "start", "hand_over", "wait"])
async def test_a_defect_of_ours_is_called_one(
    orchestrator: Orchestrator, engine: FaultyEngine, step: str
) -> None:
    """An error that nobody foresaw goes to the caller as it is; the row names it and asks for a report."""
    engine.at[step] = raising(ZeroDivisionError("secret detail"))
    with pytest.raises(ZeroDivisionError):
        await orchestrator.execute_code("print(1)", "o", execution_id="x")
    execution = await orchestrator.get_execution("x")
    assert execution.state is State.FAILED
    assert execution.failure == "Unexpected ZeroDivisionError; this is a defect, please report it."
    await assert_all_is_given_back(orchestrator, engine)


async def test_a_container_that_is_not_as_asked_is_never_started(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """The refusal of the lockdown is the failure of the row."""
    engine.at["create"] = raising(LockdownMismatch("The container differs: nothing was started."))
    with pytest.raises(LockdownMismatch):
        await orchestrator.execute_code("open('ran', 'w')", "o", execution_id="x")
    assert (await orchestrator.get_execution("x")).started_at is None
    assert not (orchestrator.settings.data_dir / "workspaces" / "o" / "ran").exists()
    await assert_all_is_given_back(orchestrator, engine)


async def test_an_unknown_input_fails_before_a_container_is_made(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """The refusal names the file, in the row as well."""
    with pytest.raises(FileNotFoundOrExpired):
        await orchestrator.execute_code("print(1)", "o", ["absent.csv"], execution_id="x")
    assert engine.created == []
    execution = await orchestrator.get_execution("x")
    assert execution.state is State.FAILED
    assert "absent.csv" in (execution.failure or "")
    await assert_all_is_given_back(orchestrator, engine)


async def test_a_workspace_that_is_gone_after_the_run_is_a_failed_harvest(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """The program has run, its files cannot be collected: FAILED from HARVESTING, and no file rows."""

    async def lose_the_disk(spec: SandboxSpec) -> None:
        await asyncio.to_thread(shutil.rmtree, spec.mounts[0].source)
        await asyncio.to_thread(spec.mounts[0].source.write_text, "in the way")

    engine.at["wait"] = lose_the_disk
    with pytest.raises(StorageFault):
        await orchestrator.execute_code("open('a.txt', 'w').write('a')", "o", execution_id="x")
    assert await states(orchestrator, "x") == [*STARTED, "HARVESTING", "FAILED"]
    assert await orchestrator.list_user_files("o") == []
    (orchestrator.settings.data_dir / "workspaces" / "o").unlink()
    await assert_all_is_given_back(orchestrator, engine)


async def test_an_index_that_refuses_the_files_keeps_neither_files_nor_result(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """The end is one transaction: where a file row is refused there is no half of it."""
    await execute(
        orchestrator,
        "CREATE TRIGGER refuse BEFORE INSERT ON files BEGIN SELECT RAISE(ABORT, 'refused'); END",
    )
    with pytest.raises(SandglassError):
        await orchestrator.execute_code("open('a.txt', 'w').write('a')", "o", execution_id="x")
    execution = await orchestrator.get_execution("x")
    assert (execution.state, execution.result) == (State.FAILED, None)
    assert execution.failure is not None
    assert await orchestrator.list_user_files("o") == []
    await execute(orchestrator, "DROP TRIGGER refuse")
    await assert_all_is_given_back(orchestrator, engine)


async def test_nothing_is_committed_over_another_process_that_took_the_row(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """Whoever lost its lease writes neither a result nor a failure; its container goes nevertheless."""

    async def be_taken_over(spec: SandboxSpec) -> None:
        index = rows(orchestrator)
        until = datetime.now(UTC) + timedelta(minutes=1)
        assert await index.take_over(await index.get(spec.execution_id), holder="thief", until=until)

    engine.at["wait"] = be_taken_over
    with pytest.raises(LeaseLost, match="belongs to another process"):
        await orchestrator.execute_code("open('a.txt', 'w').write('a')", "o", execution_id="x")
    execution = await orchestrator.get_execution("x")
    assert (execution.state, execution.lease_holder) == (State.RUNNING, "thief")
    assert (execution.result, execution.failure) == (None, None)
    assert await orchestrator.list_user_files("o") == []
    await orchestrator.close()
    assert engine.sandboxes == {}
    assert (await orchestrator.get_interpreter_status()).running == 0


async def test_an_index_that_is_locked_for_a_moment_is_waited_for(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """Another process that writes does not fail an execution."""
    path = orchestrator.settings.data_dir / "index.sqlite3"
    writer = await asyncio.to_thread(sqlite3.connect, path, check_same_thread=False)
    released = asyncio.Event()

    async def release() -> None:
        await asyncio.sleep(0.3)
        await asyncio.to_thread(writer.execute, "ROLLBACK")
        await asyncio.to_thread(writer.close)
        released.set()

    async def lock(_: SandboxSpec) -> None:
        await asyncio.to_thread(writer.execute, "BEGIN IMMEDIATE")
        releasing.append(asyncio.create_task(release()))

    releasing: list[asyncio.Task[None]] = []
    engine.at["wait"] = lock
    result = await orchestrator.execute_code("open('a.txt', 'w').write('a')", "o")
    assert released.is_set()
    assert [file.path for file in result.generated_files] == ["a.txt"]
    await releasing[0]


async def test_a_listener_that_fails_costs_the_stream_and_not_the_result(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """It is not called again; output and files are kept all the same."""
    calls = []

    def listener(_: Stream, __: bytes) -> None:
        calls.append(1)
        raise KeyError("mine")

    code = "import time\nfor n in range(3): print(n, flush=True); time.sleep(0.05)"
    result = await orchestrator.execute_code(code, "o", execution_id="x", on_output=listener)
    assert (result.output, len(calls)) == ("0\n1\n2\n", 1)
    assert (await orchestrator.get_execution("x")).state is State.COMPLETED
    await assert_all_is_given_back(orchestrator, engine)


async def test_the_fault_of_one_owner_is_not_anothers(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """While everything of one owner fails, another one's execution succeeds."""

    async def fail_for_one(spec: SandboxSpec) -> None:
        if spec.owner == "unlucky":
            raise EngineFault(SENTENCE)

    engine.at["start"] = fail_for_one
    unlucky, lucky = await asyncio.gather(
        orchestrator.execute_code("print(1)", "unlucky"),
        orchestrator.execute_code("print(2)", "lucky"),
        return_exceptions=True,
    )
    assert isinstance(unlucky, EngineFault)
    assert not isinstance(lucky, BaseException)
    assert lucky.output == "2\n"
    await assert_all_is_given_back(orchestrator, engine)


async def test_a_fault_lets_the_next_in_the_queue_run(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """Three requests of an owner, the first to be served fails: the others run."""
    failed: list[str] = []

    async def fail_once(spec: SandboxSpec) -> None:
        if not failed:
            failed.append(spec.execution_id)
            raise EngineFault(SENTENCE)

    engine.at["create"] = fail_once
    results = await asyncio.gather(
        *(orchestrator.execute_code(f"print({n})", "o", execution_id=f"n{n}") for n in range(3)),
        return_exceptions=True,
    )
    ended = {f"n{n}": result for n, result in enumerate(results)}
    assert isinstance(ended.pop(failed[0]), EngineFault)
    assert {spec.execution_id for spec in engine.created} == set(ended)
    assert all(not isinstance(result, BaseException) and result.success for result in ended.values())
    await assert_all_is_given_back(orchestrator, engine)


@pytest.mark.parametrize("keep", [False, True])
async def test_a_dead_container_is_kept_for_a_post_mortem_only_where_asked(
    data_dir: Path, engine: FaultyEngine, keep: bool
) -> None:
    """It is removed once after its execution, or never; its inputs are unstaged either way."""
    settings = await settings_for(data_dir, keep_containers=keep)
    async with open_orchestrator(settings, engine=engine, maintain=False) as orchestrator:
        await orchestrator.execute_code("print(1)", "o", execution_id="x")
        await orchestrator.close()
        assert staged_in(orchestrator) == []
        assert engine.removed == ([] if keep else ["x"])
        assert len(engine.sandboxes) == int(keep)
