"""One orchestrator with the shipped defaults for each attack; nothing of it may be left on the host."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import docker
import pytest

from orchestrator import Orchestrator, Settings, open_orchestrator
from tests.abuse.leftovers import containers, half_done, loop_devices, mounts, processes, what_stays


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
def settings(data_dir: Path, runtime: str, data_dirs: list[Path]) -> Settings:
    """The shipped defaults, no limit loosened; only the runtime is chosen."""
    data_dirs.append(data_dir)
    return Settings.load(data_dir=data_dir, runtime=runtime)


@pytest.fixture
async def victim(settings: Settings) -> AsyncIterator[Orchestrator]:
    """An orchestrator that runs what the attacker wrote."""
    async with open_orchestrator(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def data_dirs() -> list[Path]:
    """The data directory of every attack of this run."""
    return []


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_the_attacks_is_left(
    docker_client: docker.DockerClient, data_dirs: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """After the whole suite: no container, process, mount, loop device or temporary file of ours.

    What others do on the same machine meanwhile is told apart by the paths of this run.
    """
    ours = str(tmp_path_factory.getbasetemp())
    tempfile.tempdir, before = str(tmp_path_factory.mktemp("temporary")), tempfile.tempdir
    yield
    temporary, tempfile.tempdir = Path(tempfile.gettempdir()), before
    assert what_stays(lambda: containers(docker_client, data_dirs)) == []
    assert what_stays(lambda: processes(ours)) == []
    assert what_stays(lambda: mounts(ours)) == []
    assert what_stays(lambda: loop_devices(ours)) == []
    assert list(temporary.iterdir()) == []
    assert [path for data in data_dirs for path in half_done(data)] == []
