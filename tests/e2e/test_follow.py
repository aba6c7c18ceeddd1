"""The output of an execution can be followed from another process, and following changes nothing of it."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from orchestrator import Orchestrator, Settings, Stream, open_orchestrator
from orchestrator.domain.states import ExecutionState
from orchestrator.errors import ExecutionNotFound

TICKING = """
import os, sys, time
number = 0
while not os.path.exists("go"):
    print("tick", number, flush=True)
    number += 1
    time.sleep(0.02)
print("an error", file=sys.stderr, flush=True)
os.write(1, b"x" * 3_000_000)
print("the end")
"""


async def _until_running(orchestrator: Orchestrator, execution_id: str) -> None:
    async with asyncio.timeout(60):
        while True:
            rows = await orchestrator.list_executions()
            if any(one.execution_id == execution_id and one.state is ExecutionState.RUNNING for one in rows):
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("stays", [True, False])
async def test_another_process_follows_and_disturbs_nothing(
    orchestrator: Orchestrator, settings: Settings, data_dir: Path, *, stays: bool
) -> None:
    """It hears what comes from then on to the last byte; if it leaves, nobody misses it."""
    running = asyncio.create_task(orchestrator.execute_code(TICKING, "owner", execution_id="ticking"))
    await _until_running(orchestrator, "ticking")
    heard = {Stream.STDOUT: b"", Stream.STDERR: b""}
    async with (
        open_orchestrator(settings, maintain=False) as elsewhere,
        aclosing(elsewhere.operations.follow("tick")) as pieces,
    ):
        async for stream, piece in pieces:
            heard[stream] += piece
            await asyncio.to_thread((data_dir / "workspaces" / "owner" / "go").touch)
            if not stays:
                break
    result = await running
    assert (result.outcome, result.error) == ("ok", "an error\n")
    assert result.output.startswith("tick 0\n")
    assert result.output.endswith("xthe end\n")
    if stays:
        assert heard[Stream.STDERR] == b"an error\n"
        assert heard[Stream.STDOUT].startswith(b"tick ")
        assert heard[Stream.STDOUT].endswith(b"x" * 3_000_000 + b"the end\n")
        assert len(heard[Stream.STDOUT]) <= result.output_bytes


async def test_what_has_ended_has_nothing_to_follow(orchestrator: Orchestrator) -> None:
    """Its output is kept; an unknown one is refused."""
    await orchestrator.execute_code("print(1)", "owner", execution_id="ended")
    assert [piece async for piece in orchestrator.operations.follow("ended")] == []
    with pytest.raises(ExecutionNotFound):
        async for _ in orchestrator.operations.follow("never-heard-of"):
            pass
