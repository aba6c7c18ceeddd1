"""The engine loses a reply, the disk fills up, the index is locked: a fault is told, and nothing is lost."""

import asyncio
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from docker import DockerClient

from orchestrator import Fault, Settings, open_orchestrator
from orchestrator.errors import StorageFault
from tests.chaos.proxy import Proxy, proxied
from tests.chaos.support import agreement, recovered, states, until
from tests.e2e.support import MovableClock

WRITES = "open('kept.txt', 'w').write('kept'); print('done')"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """The engine's socket, with a hole in it when asked."""
    with proxied(tmp_path / "engine.sock") as started:
        yield started


@pytest.mark.parametrize(
    "request_line", [r"POST /v[\d.]+/containers/create\b", r"POST /v[\d.]+/containers/\w+/start\b"]
)
async def test_a_lost_reply_of_the_engine_leaves_no_container_and_a_failed_row(
    settings: Settings, proxy: Proxy, tmp_path: Path, docker_client: DockerClient, request_line: str
) -> None:
    """The container is there and we were not told: it goes, the row says FAILED, the next one runs."""
    behind = settings.model_copy(
        update={"docker_host": f"unix://{tmp_path / 'engine.sock'}", "standby_count": 0}
    )
    async with open_orchestrator(behind, maintain=False) as orchestrator:
        await orchestrator.prewarm("ann")
        proxy.swallow = re.compile(request_line.encode())
        with pytest.raises(Fault, match=r"make engine"):
            await orchestrator.execute_code(WRITES, "ann", execution_id="lost")
        assert proxy.swallowed == 1
        assert (await orchestrator.get_execution("lost")).state == "FAILED"
        result = await orchestrator.execute_code(WRITES, "ann")
        assert result.output == "done\n"
    await recovered(settings, docker_client)


@pytest.fixture
def small_disk(data_dir: Path) -> Iterator[Path]:
    """A data directory on a disk of 40 MB."""
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m,mode=0700", "sandglass-test", data_dir], check=True
    )
    yield data_dir
    subprocess.run(["umount", "-l", data_dir], check=True)


async def test_a_disk_that_fills_up_during_the_harvest_loses_nothing(
    small_disk: Path, settings: Settings, docker_client: DockerClient
) -> None:
    """What could not be copied is told, stays in the workspace, and leaves no half blob behind."""
    tight = settings.model_copy(update={"disk_reserve": 0})
    async with open_orchestrator(tight, maintain=False) as orchestrator:
        code = "import os; open('big.bin', 'wb').write(os.urandom(25_000_000))"
        told = ""
        try:
            result = await orchestrator.execute_code(code, "ann", execution_id="full")
            told = " ".join(skipped.path for skipped in result.skipped_files)
        except StorageFault as fault:
            told = str(fault)
        assert "big.bin" in told or "full" in told
        assert (small_disk / "workspaces" / "ann" / "big.bin").stat().st_size == 25_000_000
        assert list((small_disk / "blobs" / ".tmp").glob("*")) == []
        grow = ["mount", "-o", "remount,size=400m", str(small_disk)]
        await asyncio.to_thread(subprocess.run, grow, check=True)
        assert (await orchestrator.execute_code("print(1)", "ann")).success
        await orchestrator.reap()
        rows = await orchestrator.list_executions()
        assert all(row.state.is_terminal for row in rows)


@pytest.mark.timeout(200)
async def test_an_index_that_somebody_locks_is_a_fault_and_the_file_is_kept(
    settings: Settings, data_dir: Path, docker_client: DockerClient
) -> None:
    """Past the busy timeout: `StorageFault`, the container is gone, and the reap harvests what it wrote."""
    clock = MovableClock()
    async with open_orchestrator(settings, clock=clock, maintain=False) as orchestrator:
        code = f"{WRITES}; import time; time.sleep(3)"
        running = asyncio.create_task(orchestrator.execute_code(code, "ann", execution_id="stuck"))
        await asyncio.to_thread(until, (data_dir / "workspaces" / "ann" / "kept.txt").exists)
        with closing(sqlite3.connect(data_dir / "index.sqlite3", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageFault, match="locked by another process"):
                await running
            other.execute("ROLLBACK")
        assert states(data_dir)["stuck"] in {"RUNNING", "FAILED"}
        clock.move(seconds=settings.lease_seconds + 1)
        await orchestrator.reap()
        rows = await agreement(orchestrator, data_dir, docker_client)
        assert rows["stuck"].state == "LOST"
