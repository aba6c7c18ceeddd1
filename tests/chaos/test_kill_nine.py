"""`kill -9` of the orchestrator, in every state and at random points under load."""

import asyncio
import random
from pathlib import Path

import pytest
from docker import DockerClient

from orchestrator import ExecutionState, Settings, open_orchestrator
from tests.chaos.support import Worker, agreement, recovered, states, until, worker

KILLS = 52
AT_ONCE = 4


async def test_killed_while_one_is_queued(
    settings: Settings, data_dir: Path, docker_client: DockerClient
) -> None:
    """Both are lost; the one that ran kept its file, the one that waited left nothing."""
    with worker(data_dir, "ann", "two") as victim:
        until((data_dir / "workspaces" / "ann" / "ann-first-0.bin").exists)
        until(lambda: states(data_dir).get("ann-second") == "QUEUED")
        victim.kill()
    rows = await recovered(settings, docker_client)
    assert {row.state for row in rows.values()} == {ExecutionState.LOST}
    kept = rows["ann-first"].result
    assert kept is not None
    assert [file.path for file in kept.generated_files] == ["ann-first-0.bin"]


@pytest.mark.parametrize("mode", ["creating", "created"])
async def test_killed_while_preparing(
    settings: Settings, data_dir: Path, docker_client: DockerClient, mode: str
) -> None:
    """Before the container is made or just after, when only its label tells whose it is."""
    with worker(data_dir, "ann", mode) as victim:
        assert victim.line() == "hanging"
        assert states(data_dir) == {"ann": "PREPARING"}
        victim.kill()
    rows = await recovered(settings, docker_client)
    assert rows["ann"].state is ExecutionState.LOST


async def test_killed_while_running(settings: Settings, data_dir: Path, docker_client: DockerClient) -> None:
    """The container dies with the reap, and what it had written is harvested."""
    with worker(data_dir, "ann", "long") as victim:
        until((data_dir / "workspaces" / "ann" / "ann-0.bin").exists)
        assert states(data_dir) == {"ann": "RUNNING"}
        victim.kill()
    rows = await recovered(settings, docker_client)
    assert rows["ann"].state is ExecutionState.LOST
    assert rows["ann"].result is not None
    assert rows["ann"].result.generated_file_ids


async def test_killed_while_harvesting(
    settings: Settings, data_dir: Path, docker_client: DockerClient
) -> None:
    """Ninety files half copied: all ninety are there afterwards, once each."""
    with worker(data_dir, "ann", "large") as victim:
        until(lambda: states(data_dir).get("ann") == "HARVESTING")
        until(lambda: len(list((data_dir / "blobs").glob("*/ann_*"))) > 3)
        victim.kill()
        assert states(data_dir) == {"ann": "HARVESTING"}
    rows = await recovered(settings, docker_client)
    assert rows["ann"].state is ExecutionState.LOST
    assert rows["ann"].result is not None
    assert len(rows["ann"].result.generated_files) == 90


@pytest.mark.timeout(400)
async def test_killed_at_random_points_under_load(
    settings: Settings, data_dir: Path, docker_client: DockerClient
) -> None:
    """Four processes over one data directory, killed again and again: all agrees after every round."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    async with open_orchestrator(settings, maintain=False) as orchestrator:
        for round_number in range(KILLS // AT_ONCE):
            workers = [
                Worker(data_dir, f"{round_number}-{number}", "load", str(dice.randrange(2**32)))
                for number in range(AT_ONCE)
            ]
            try:
                assert [victim.line() for victim in workers] == ["ready"] * AT_ONCE
                for victim in dice.sample(workers, AT_ONCE):
                    await asyncio.sleep(dice.uniform(0, 0.8))
                    assert victim.process.poll() is None
                    victim.kill()
            finally:
                for victim in workers:
                    victim.kill()
            await orchestrator.reap()
            await agreement(orchestrator, data_dir, docker_client)
    rows = await recovered(settings, docker_client)
    print(f"{len(rows)} executions, {sum(row.state is ExecutionState.LOST for row in rows.values())} lost")
    assert {row.state for row in rows.values()} >= {ExecutionState.LOST, ExecutionState.COMPLETED}
