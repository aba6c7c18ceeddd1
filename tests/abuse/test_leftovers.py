"""The guard over the whole suite sees what it is there to see."""

import asyncio
from pathlib import Path

import docker

from orchestrator import Orchestrator
from tests.abuse.leftovers import containers, loop_devices, mounts, processes, what_stays


async def test_a_running_sandbox_is_seen_and_a_dead_one_is_gone(
    victim: Orchestrator, data_dir: Path, docker_client: docker.DockerClient
) -> None:
    """Its container by the label, its processes by the directory that is mounted there."""
    running = asyncio.create_task(
        victim.execute_code("import time; print('up', flush=True); time.sleep(60)", "attacker")
    )

    def is_seen() -> bool:
        return bool(containers(docker_client, [data_dir]) and processes(str(data_dir)))

    while not await asyncio.to_thread(is_seen):
        assert not running.done()
    for execution in await victim.list_executions("attacker"):
        await victim.cancel(execution.execution_id)
    await running
    await victim.close()
    assert await asyncio.to_thread(what_stays, lambda: containers(docker_client, [data_dir])) == []
    assert await asyncio.to_thread(what_stays, lambda: processes(str(data_dir))) == []
    assert mounts(str(data_dir)) == loop_devices(str(data_dir)) == []
