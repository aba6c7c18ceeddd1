"""Every way to end has its own outcome and hint, with what was printed and written until then."""

import asyncio
import os
import signal
import sys
import time

import docker
import pytest

from orchestrator import ExecutionState, Orchestrator, Outcome, Settings

WRITE = "print('begun', flush=True); open('partial.txt', 'w').write('kept')\n"
KILL = "import os, signal; os.kill(os.getpid(), signal.{})"
MEMORY_BOMB = "x = bytearray(3 * 2**30)\nfor i in range(0, len(x), 4096): x[i] = 1"
FOR_EVER = WRITE + "import time\nwhile True: time.sleep(1)"


@pytest.mark.parametrize(
    ("code", "outcome", "exit_code", "hint"),
    [
        (WRITE + "1 / 0", Outcome.NONZERO_EXIT, 1, "error"),
        (WRITE + "raise SystemExit(3)", Outcome.NONZERO_EXIT, 3, "exit code 3"),
        (WRITE + "import os; os._exit(4)", Outcome.NONZERO_EXIT, 4, "exit code 4"),
        (WRITE + KILL.format("SIGTERM"), Outcome.NONZERO_EXIT, 143, "signal 15"),
        (WRITE + KILL.format("SIGSEGV"), Outcome.NONZERO_EXIT, 139, "signal 11"),
        (WRITE + KILL.format("SIGKILL"), Outcome.KILLED, 137, "Killed"),
        (WRITE + MEMORY_BOMB, Outcome.OUT_OF_MEMORY, 137, "1 GiB"),
        (WRITE + "while True: print('y' * 100_000)", Outcome.OUTPUT_LIMIT, 137, "64 MiB"),
    ],
    ids=["exception", "exit-code", "os-exit", "sigterm", "sigsegv", "sigkill", "memory", "output"],
)
async def test_each_end_has_its_outcome_and_keeps_what_was_there(
    orchestrator: Orchestrator, code: str, outcome: Outcome, exit_code: int, hint: str
) -> None:
    """Outcome, exit code and a hint that helps; output and file from before the end are there."""
    result = await orchestrator.execute_code(code, "ends")
    assert (result.outcome, result.exit_code) == (outcome, exit_code), result.error
    assert not result.success
    assert result.hint is not None
    assert hint in result.hint
    assert result.output.startswith("begun\n")
    assert [file.path for file in result.generated_files] == ["partial.txt"]


async def test_a_timeout_keeps_what_was_there(orchestrator: Orchestrator) -> None:
    """The caller's own limit is named in the hint."""
    result = await orchestrator.execute_code(FOR_EVER, "slow", timeout=1.5)
    assert result.outcome is Outcome.TIMED_OUT
    assert result.hint is not None
    assert "1.5 s" in result.hint
    assert result.output == "begun\n"
    assert [file.path for file in result.generated_files] == ["partial.txt"]
    assert 1.5 <= result.timings.run < 15


async def test_cancel_kills_a_running_program_and_keeps_what_was_there(orchestrator: Orchestrator) -> None:
    """The one who waits gets a result that says cancelled."""
    begun = asyncio.Event()
    running = asyncio.create_task(
        orchestrator.execute_code(FOR_EVER, "c", execution_id="running", on_output=lambda *_: begun.set())
    )
    await begun.wait()
    await asyncio.sleep(0.2)
    assert await orchestrator.cancel("running")
    result = await running
    assert result.outcome is Outcome.CANCELLED
    assert [file.path for file in result.generated_files] == ["partial.txt"]
    assert not await orchestrator.cancel("running")


async def test_cancel_takes_a_waiting_execution_out_of_the_queue(orchestrator: Orchestrator) -> None:
    """It never ran: no exit code, the state CANCELLED, and the one before it is not disturbed."""
    begun = asyncio.Event()
    first = asyncio.create_task(
        orchestrator.execute_code(
            "import time; print(1); time.sleep(3)", "q", on_output=lambda *_: begun.set()
        )
    )
    await begun.wait()
    second = asyncio.create_task(orchestrator.execute_code("print(2)", "q", execution_id="waiting"))
    await asyncio.sleep(0.3)
    assert await orchestrator.cancel("waiting")
    result = await second
    assert (result.outcome, result.exit_code, result.output) == (Outcome.CANCELLED, None, "")
    assert (await orchestrator.get_execution("waiting")).state is ExecutionState.CANCELLED
    assert (await first).success


async def test_cancelling_the_awaiting_task_kills_the_container_then_goes_on(
    orchestrator: Orchestrator, docker_client: docker.DockerClient
) -> None:
    """The cancellation is not swallowed, the row is terminal and the container dead when it arrives."""
    begun = asyncio.Event()
    running = asyncio.create_task(
        orchestrator.execute_code(FOR_EVER, "task", execution_id="task", on_output=lambda *_: begun.set())
    )
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    execution = await orchestrator.get_execution("task")
    assert execution.state is ExecutionState.COMPLETED
    assert execution.result is not None
    assert execution.result.outcome is Outcome.CANCELLED
    live = docker_client.containers.list(filters={"label": "org.sandglass.execution=task"})
    assert live == []


KILLED_PROCESS = """
import asyncio, sys
from pathlib import Path
from orchestrator import Settings, open_orchestrator
CODE = "open('found.txt','w').write('x'); print('begun', flush=True)\\nimport time\\ntime.sleep(60)"
async def main():
    async with open_orchestrator(Settings.load(data_dir=Path(sys.argv[1]))) as o:
        told = lambda *_: print('begun', flush=True)
        await o.execute_code(CODE, 'lost', execution_id='lost', on_output=told)
asyncio.run(main())
"""


async def test_what_a_killed_orchestrator_left_is_found_ended_and_kept(
    settings: Settings, orchestrator: Orchestrator, docker_client: docker.DockerClient
) -> None:
    """After kill -9 in RUNNING: container gone, file kept, the row says LOST, the owner can go on."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED_PROCESS, str(settings.data_dir), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"begun\n"
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    began = time.monotonic()
    dry = await orchestrator.reap(dry_run=True)
    assert dry.lost_executions == ("lost",)
    assert (await orchestrator.get_execution("lost")).state is ExecutionState.RUNNING
    report = await orchestrator.reap()
    assert time.monotonic() - began < settings.lease_seconds
    assert report.lost_executions == ("lost",)
    assert report.harvested_files == 1
    execution = await orchestrator.get_execution("lost")
    assert execution.state is ExecutionState.LOST
    assert execution.failure is not None
    assert "Run it again" in execution.failure
    assert [file.path for file in await orchestrator.list_user_files("lost")] == ["found.txt"]
    assert docker_client.containers.list(all=True, filters={"label": "org.sandglass.execution=lost"}) == []
    assert (await orchestrator.execute_code("print(1)", "lost")).success
