"""`SANDGLASS_WORKSPACE_BACKEND=loop` under real containers: bounded by the kernel, nothing stays mounted."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from docker import DockerClient

from orchestrator import Orchestrator, Outcome, Settings, open_orchestrator
from orchestrator.domain.limits import GIB
from tests.chaos.support import agreement, states, until, worker
from tests.conftest import loop_files, mount_points

FILL = """
import os
for number in range(20):
    with open(f"large-{number}", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 49_000_000)
for number in range(10_000):
    with open(f"small-{number}", "wb") as file:
        file.write(os.urandom(30_000))
"""
MANY = """
for number in range(100_000):
    open(str(number), "w").close()
"""


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    """The shipped defaults, no limit changed."""
    return Settings.load(data_dir=data_dir, workspace_backend="loop")


@pytest.fixture
async def orchestrator(settings: Settings, data_dir: Path) -> AsyncIterator[Orchestrator]:
    """An orchestrator that leaves neither mount nor loop device."""
    async with open_orchestrator(settings, maintain=False) as opened:
        yield opened
    nothing_is_mounted(data_dir)


def nothing_is_mounted(data_dir: Path) -> None:
    """Neither a mount nor, once the kernel has got to it, a loop device of this data directory."""
    assert [point for point in mount_points() if point.startswith(str(data_dir))] == []
    until(lambda: not [file for file in loop_files() if file.startswith(str(data_dir))])


async def test_the_mount_inside_gives_no_privilege(orchestrator: Orchestrator) -> None:
    """What the container says of its own mount table, and what a link is worth in it."""
    code = """
print(next(line for line in open("/proc/self/mounts") if " /workspace " in line).split()[2:4])
import os
os.symlink("/etc/passwd", "link")
open("link")
"""
    result = await orchestrator.execute_code(code, "ann")
    assert "'ext4'" in result.output
    assert all(option in result.output for option in ("nosuid", "nodev", "nosymfollow"))
    assert "Too many levels of symbolic links" in result.error


@pytest.mark.parametrize("code", [FILL, MANY], ids=["bytes", "inodes"])
async def test_a_full_workspace_is_a_disk_limit_without_any_overshoot(
    orchestrator: Orchestrator, data_dir: Path, code: str
) -> None:
    """Refused by the kernel at the bound; the owner can delete and go on, and nobody else notices."""
    result = await orchestrator.execute_code(code, "ann", timeout=120)
    assert result.outcome is Outcome.DISK_LIMIT, result.error
    assert "No space left on device" in result.error
    assert result.hint is not None
    assert ("1 GiB" if code is FILL else "20000 files") in result.hint
    image = (data_dir / "images" / "ann.ext4").stat()
    assert image.st_size == GIB
    assert image.st_blocks * 512 <= GIB
    count = sum(1 for _ in (data_dir / "workspaces" / "ann").iterdir())
    assert count <= 20_000
    assert (await orchestrator.execute_code("open('free.txt', 'w').write('1')", "bob")).success
    cleared = "import os\nfor name in os.listdir(): os.unlink(name)\nopen('again.txt', 'w').write('1')"
    assert (await orchestrator.execute_code(cleared, "ann", timeout=120)).success


async def test_a_standby_works_in_the_same_image_and_keeps_it_mounted(
    orchestrator: Orchestrator, data_dir: Path
) -> None:
    """Cold, then warm: one workspace; while the standby waits nothing is unmounted under it."""
    await orchestrator.execute_code("open('a.txt', 'w').write('1')", "ann")
    assert await orchestrator.prewarm("ann")
    await orchestrator.sweep()
    result = await orchestrator.execute_code(
        "print(open('a.txt').read()); open('b.txt', 'w').write('2'); None", "ann"
    )
    assert (result.warm, result.output) == (True, "1\n")
    assert [file.path for file in result.generated_files] == ["b.txt"]


async def test_what_a_killed_orchestrator_left_mounted_is_harvested_and_unmounted(
    settings: Settings, data_dir: Path, docker_client: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kill -9` while a program writes into its image: its file is stored, and the host is as before."""
    monkeypatch.setenv("SANDGLASS_WORKSPACE_BACKEND", "loop")
    with worker(data_dir, "ann", "long") as victim:
        await asyncio.to_thread(until, (data_dir / "workspaces" / "ann" / "ann-0.bin").exists)
        await asyncio.to_thread(until, lambda: states(data_dir) == {"ann": "RUNNING"})
        victim.kill()
    async with open_orchestrator(settings, maintain=False) as orchestrator:
        await orchestrator.reap()
        rows = await agreement(orchestrator, data_dir, docker_client)
        assert rows["ann"].result is not None
        assert rows["ann"].result.generated_file_ids
    nothing_is_mounted(data_dir)
