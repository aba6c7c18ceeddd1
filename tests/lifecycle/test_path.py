"""The way of an execution through its states as the index sees it, and every way to be stopped on it."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator import Orchestrator, Outcome, open_orchestrator
from orchestrator.domain.outcomes import KillReason
from orchestrator.domain.sandbox import SandboxSpec, Stream
from orchestrator.domain.states import ExecutionState as State
from tests.lifecycle.faulty import (
    FaultyEngine,
    remember_states,
    rows,
    settings_for,
    staged_in,
    states,
    until_queued,
    until_state,
)

WHOLE = ["QUEUED", "PREPARING", "RUNNING", "HARVESTING", "COMPLETED"]
SLEEP = "open('kept.txt', 'w').write('x'); print('begun', flush=True)\nimport time; time.sleep(30)"


@pytest.mark.parametrize("code", ["print(1)", "1 / 0", "raise SystemExit(3)", "import os; os.abort()"])
async def test_a_program_goes_the_whole_way_however_it_ends(orchestrator: Orchestrator, code: str) -> None:
    """A failing program is a completed execution: each state once, in the order of the design."""
    await orchestrator.execute_code(code, "o", execution_id="x")
    assert await states(orchestrator, "x") == WHOLE


async def test_the_row_says_where_the_execution_is_at_each_step(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """PREPARING while the container is made, RUNNING and by id before anything of it starts."""
    seen: list[tuple[State, bool]] = []

    async def look(spec: SandboxSpec) -> None:
        row = await rows(orchestrator).get(spec.execution_id)
        seen.append((row.state, row.container_id is not None))

    engine.at = {"create": look, "start": look, "hand_over": look, "wait": look}
    await orchestrator.execute_code("print(1)", "o", execution_id="x")
    assert seen == [(State.PREPARING, False), *[(State.RUNNING, True)] * 3]
    row = await orchestrator.get_execution("x")
    assert row.started_at is not None
    assert row.finished_at is not None
    assert row.created_at <= row.started_at <= row.finished_at
    assert row.lease_expires_at is None


async def test_the_phases_add_up_and_are_counted_outside_the_program(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """A slow creation is `acquire`, a slow program is `run`; `total` holds them all."""

    async def slow(_: SandboxSpec) -> None:
        await asyncio.sleep(0.2)

    engine.at["create"] = slow
    result = await orchestrator.execute_code("import time; time.sleep(0.3)", "o")
    timings = result.timings
    assert timings.acquire >= 0.2
    assert timings.run >= 0.3
    assert result.execution_time == timings.run
    assert min(timings.queued, timings.harvest) >= 0
    assert timings.total >= timings.queued + timings.acquire + timings.run + timings.harvest - 1e-6


async def test_a_cancel_in_the_queue_needs_no_container(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """QUEUED to CANCELLED: no exit code, a hint, no container; time spent is time queued."""
    first = asyncio.create_task(orchestrator.execute_code(SLEEP, "o", execution_id="first"))
    await until_state(orchestrator, "first", State.RUNNING)
    waiting = asyncio.create_task(orchestrator.execute_code("print(1)", "o", execution_id="x"))
    await until_queued(orchestrator)
    await until_state(orchestrator, "x", State.QUEUED)
    assert await orchestrator.cancel("x")
    result = await waiting
    assert (result.outcome, result.exit_code, result.output) == (Outcome.CANCELLED, None, "")
    assert result.hint is not None
    assert (result.timings.acquire, result.timings.run, result.execution_time) == (0, 0, 0)
    assert await states(orchestrator, "x") == ["QUEUED", "CANCELLED"]
    assert await orchestrator.cancel("first")
    assert (await first).outcome is Outcome.CANCELLED
    assert [spec.execution_id for spec in engine.created] == ["first"]


@pytest.mark.parametrize(
    ("step", "way"),
    [
        ("create", ["QUEUED", "PREPARING", "CANCELLED"]),
        ("start", WHOLE),
        ("hand_over", WHOLE),
    ],
)
async def test_a_cancel_at_each_step_ends_it_there(
    orchestrator: Orchestrator, engine: FaultyEngine, step: str, way: list[str]
) -> None:
    """Before the code ran it is CANCELLED, afterwards COMPLETED with that outcome; nothing is left."""

    async def cancel(spec: SandboxSpec) -> None:
        assert await orchestrator.cancel(spec.execution_id)

    engine.at[step] = cancel
    result = await orchestrator.execute_code(SLEEP, "o", execution_id="x")
    assert (result.outcome, result.success) == (Outcome.CANCELLED, False)
    assert await states(orchestrator, "x") == way
    await orchestrator.close()
    assert engine.sandboxes == {}
    assert staged_in(orchestrator) == []


async def test_a_cancel_of_what_is_over_is_false(orchestrator: Orchestrator) -> None:
    """Neither an ended execution nor an unknown one is said to have been stopped."""
    result = await orchestrator.execute_code("print(1)", "o", execution_id="x")
    assert not await orchestrator.cancel("x")
    assert not await orchestrator.kill("x")
    assert not await orchestrator.cancel("unknown")
    assert (await orchestrator.get_execution("x")).result == result


async def test_the_first_reason_stands(orchestrator: Orchestrator) -> None:
    """Killed by an operator and cancelled by its owner a moment later, it was the operator."""
    running = asyncio.create_task(orchestrator.execute_code(SLEEP, "o", execution_id="x"))
    await until_state(orchestrator, "x", State.RUNNING)
    assert await orchestrator.kill("x")
    await orchestrator.cancel("x")
    result = await running
    assert result.outcome is Outcome.KILLED
    assert result.hint == "Killed by an operator. Ask them why before you run it again."


async def test_a_timeout_keeps_output_and_files(orchestrator: Orchestrator) -> None:
    """Its own limit is named, and what was there by then is not lost."""
    result = await orchestrator.execute_code(SLEEP, "o", timeout=0.5)
    assert (result.outcome, result.output) == (Outcome.TIMED_OUT, "begun\n")
    assert "0.5 s" in (result.hint or "")
    assert [file.path for file in result.generated_files] == ["kept.txt"]
    assert result.timings.run >= 0.5


@pytest.mark.parametrize("step", ["create", "start", "wait"])
async def test_a_kill_noted_by_another_process_is_the_reason(
    orchestrator: Orchestrator, engine: FaultyEngine, step: str
) -> None:
    """Noted before it runs, nothing runs; noted before a death by SIGKILL, it was no accident."""

    async def note(spec: SandboxSpec) -> None:
        noted = await rows(orchestrator).note_kill(spec.execution_id, KillReason.OPERATOR)
        assert noted
        await engine.kill((await rows(orchestrator).get(spec.execution_id)).container_id or "")

    engine.at[step] = note
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    result = await orchestrator.execute_code(code, "o", execution_id="x")
    assert result.outcome is Outcome.KILLED
    assert "operator" in (result.hint or "")
    expected = ["QUEUED", "PREPARING", "CANCELLED"] if step == "create" else WHOLE
    assert await states(orchestrator, "x") == expected


async def test_a_lease_is_renewed_while_it_runs(data_dir: Path, engine: FaultyEngine) -> None:
    """An execution longer than its lease is never up for taking."""
    settings = await settings_for(data_dir, lease_seconds=1.05)
    async with open_orchestrator(settings, engine=engine, maintain=False) as orchestrator:
        leases: list[datetime | None] = []

        async def look(spec: SandboxSpec) -> None:
            leases.append((await rows(orchestrator).get(spec.execution_id)).lease_expires_at)

        engine.at = {"start": look, "wait": look}
        assert (await orchestrator.execute_code("import time; time.sleep(0.6)", "o")).success
    first, last = leases
    assert first is not None
    assert last is not None
    assert last - first >= timedelta(seconds=0.3)


async def test_whoever_lost_its_lease_stops_its_program(data_dir: Path, engine: FaultyEngine) -> None:
    """The program of a row that was taken over is killed at the next renewal, not left to its timeout."""
    settings = await settings_for(data_dir, lease_seconds=1.05)
    async with open_orchestrator(settings, engine=engine, maintain=False) as orchestrator:
        await remember_states(orchestrator)
        running = asyncio.create_task(orchestrator.execute_code(SLEEP, "o", execution_id="x"))
        await until_state(orchestrator, "x", State.RUNNING)
        index = rows(orchestrator)
        until = datetime.now(UTC) + timedelta(minutes=1)
        assert await index.take_over(await index.get("x"), holder="thief", until=until)
        async with asyncio.timeout(5):
            ended = (await asyncio.gather(running, return_exceptions=True))[0]
        assert type(ended).__name__ == "LeaseLost"
        await orchestrator.close()
        assert engine.sandboxes == {}
        assert (await orchestrator.get_execution("x")).lease_holder == "thief"


async def test_a_listener_may_wait_and_sees_every_byte(orchestrator: Orchestrator) -> None:
    """A coroutine function is awaited piece by piece, in the order of each stream."""
    heard: dict[Stream, bytes] = dict.fromkeys(Stream, b"")

    async def listen(stream: Stream, piece: bytes) -> None:
        await asyncio.sleep(0)
        heard[stream] += piece

    code = "import sys\nfor n in range(2000): print(n); print(-n, file=sys.stderr)"
    result = await orchestrator.execute_code(code, "o", on_output=listen)
    assert heard[Stream.STDOUT].decode() == result.output
    assert heard[Stream.STDERR].decode() == result.error
    assert result.output.splitlines()[-1] == "1999"


async def test_cancelling_the_caller_ends_the_program_and_is_not_swallowed(
    orchestrator: Orchestrator, engine: FaultyEngine
) -> None:
    """When the cancellation arrives the row is already terminal, with the files."""
    caller = asyncio.create_task(orchestrator.execute_code(SLEEP, "o", execution_id="x"))
    begun = orchestrator.settings.data_dir / "workspaces" / "o" / "kept.txt"
    async with asyncio.timeout(5):
        for _ in range(400):
            if await asyncio.to_thread(begun.exists):
                break
            await asyncio.sleep(0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    execution = await orchestrator.get_execution("x")
    assert execution.state is State.COMPLETED
    assert execution.result is not None
    assert execution.result.outcome is Outcome.CANCELLED
    assert [file.path for file in execution.result.generated_files] == ["kept.txt"]
