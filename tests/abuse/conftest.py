"""One orchestrator with the shipped defaults for each attack; nothing of it may be left on the host."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import docker
import pytest

from orchestrator import Orchestrator, Settings, open_orchestrator


@pytest.fixture(params=["runc", "runsc"])
def runtime(request: pytest.FixtureRequest, docker_client: docker.DockerClient) -> str:
    """Every attack runs under both runtimes; one that is not asked for, or absent, is NOT RUN, by name.

    gVisor takes its time, so `make test-gvisor` asks for it and `make test` does not.
    """
    wanted = str(request.param)
    if wanted not in os.environ.get("ABUSE_RUNTIMES", "runc").split(","):
        pytest.skip(f"NOT RUN under {wanted}: `make test-gvisor` does")
    if wanted not in docker_client.info()["Runtimes"]:
        pytest.skip(f"NOT RUN under {wanted}: `make engine-gvisor` installs it")
    return wanted


@pytest.fixture
def settings(data_dir: Path, runtime: str) -> Settings:
    """The shipped defaults, no limit loosened; only the runtime is chosen."""
    return Settings.load(data_dir=data_dir, runtime=runtime)


@pytest.fixture
async def victim(settings: Settings) -> AsyncIterator[Orchestrator]:
    """An orchestrator that runs what the attacker wrote."""
    async with open_orchestrator(settings) as opened:
        yield opened


@pytest.fixture(scope="session", autouse=True)
def _no_mount_or_loop_device_is_left() -> Iterator[None]:
    """The whole suite adds no mount and no loop device to the host."""
    mounts, loop_devices = _mounts(), _loop_devices()
    yield
    assert _mounts() - mounts == set()
    assert _loop_devices() - loop_devices == set()


def _mounts() -> set[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return {line.split()[1] for line in lines if "docker" not in line}


def _loop_devices() -> set[str]:
    listed = subprocess.run(["losetup", "--list"], capture_output=True, text=True, check=False).stdout
    return set(listed.splitlines())
