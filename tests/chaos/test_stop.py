"""Killing and cancelling what another process runs."""

import asyncio
import time
from pathlib import Path

import pytest
from docker import DockerClient

from orchestrator import ExecutionResult, Outcome, Settings, open_orchestrator
from orchestrator.errors import ExecutionNotFound
from tests.chaos.support import agreement, states, until, worker


@pytest.mark.parametrize(("verb", "outcome"), [("kill", Outcome.KILLED), ("cancel", Outcome.CANCELLED)])
async def test_what_another_process_runs_ends_within_two_seconds_and_keeps_what_it_made(
    settings: Settings, data_dir: Path, verb: str, outcome: Outcome, docker_client: DockerClient
) -> None:
    """The supervising process returns the outcome with the reason, the output and the file so far."""
    async with open_orchestrator(settings, maintain=False) as orchestrator:
        with worker(data_dir, "ann", "long") as other:
            until((data_dir / "workspaces" / "ann" / "ann-0.bin").exists)
            await asyncio.sleep(0.2)
            began = time.monotonic()
            assert await getattr(orchestrator, verb)("ann")
            took = time.monotonic() - began
            result = ExecutionResult.model_validate_json(other.line())
        assert result.outcome is outcome
        assert result.hint is not None
        if verb == "kill":
            assert "operator" in result.hint
        assert result.output == "wrote 0\n"
        assert [file.path for file in result.generated_files] == ["ann-0.bin"]
        assert took < 2
        assert not await getattr(orchestrator, verb)("ann"), "it has ended, so there is nothing to end"
        await orchestrator.reap()
        await agreement(orchestrator, data_dir, docker_client)


async def test_what_waits_in_another_process_is_taken_out_of_its_queue(
    settings: Settings, data_dir: Path
) -> None:
    """The row is terminal at once; its process finds out when its turn comes, and nothing of it has run."""
    async with open_orchestrator(settings, maintain=False) as orchestrator:
        with worker(data_dir, "bob", "two") as other:
            until(lambda: states(data_dir).get("bob-second") == "QUEUED")
            assert await orchestrator.kill("bob-second")
            assert (await orchestrator.get_execution("bob-second")).state == "CANCELLED"
            assert await orchestrator.kill("bob-first")
            result = ExecutionResult.model_validate_json(other.line())
            assert result.outcome is Outcome.KILLED
            assert result.execution_id == "bob-second"
            assert not (data_dir / "workspaces" / "bob" / "bob-second-0.bin").exists()


async def test_the_kill_of_something_unknown_is_refused(settings: Settings) -> None:
    """An unknown id is a refusal of `kill`, and nothing to cancel for `cancel`."""
    async with open_orchestrator(settings, maintain=False) as orchestrator:
        with pytest.raises(ExecutionNotFound):
            await orchestrator.kill("nobody")
        assert not await orchestrator.cancel("nobody")
