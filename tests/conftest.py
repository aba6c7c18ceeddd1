"""What every test stands on: an engine that answers, an event loop that never blocks, nothing left behind."""

import gc
import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import docker
import pytest
import structlog
from blockbuster import blockbuster_ctx
from docker.errors import DockerException, NotFound
from hypothesis import settings as hypothesis_settings

from tests.discord.document import DOCUMENT

INSTANCE_LABEL = "org.sandglass.instance"
"""Every container of ours carries it, whatever it is for."""

NO_ENGINE = 4
"""Exit code of a run without a Docker engine."""

ABSENT = "ABSENT: no exchange with Discord is validated"


os.environ.setdefault("SANDGLASS_ATTEST", "false")
"""Every test has a data directory of its own, so each would attack the host anew; tests/e2e asks for it."""

os.environ.setdefault("SANDGLASS_STANDBY_AFTER_RUN", "false")
"""Most tests run once for an owner; tests/e2e/test_standbys.py is about the second time."""


# A busy machine is no defect: speed belongs to the benchmark.
hypothesis_settings.register_profile("sandglass", deadline=None)
hypothesis_settings.load_profile("sandglass")


def pytest_sessionstart(session: pytest.Session) -> None:
    """End the run with one sentence when there is no engine: real containers are the point, never skipped."""
    with warnings.catch_warnings():
        # docker-py drops the socket of a connection that failed; only the collector closes it.
        warnings.simplefilter("ignore", ResourceWarning)
        answers = _engine_answers()
        gc.collect()
    if not answers:
        pytest.exit("No Docker engine answers: run `make engine`, then this again.", returncode=NO_ENGINE)


def pytest_report_header() -> str:
    """Say by name whether the published document takes part."""
    return f"discord openapi document: {'present' if DOCUMENT.is_file() else ABSENT}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it once more at the end, which nobody scrolls past and `-q` does not hide."""
    if not DOCUMENT.is_file():
        terminalreporter.write_line(f"discord openapi document: {ABSENT}", yellow=True)


def _engine_answers() -> bool:
    try:
        client = docker.from_env(timeout=10)
    except DockerException:
        return False
    client.close()
    return True


@pytest.fixture(autouse=True)
def _no_blocking_call() -> Iterator[None]:
    """Fail a blocking call of ours on the event loop, with the line that made it."""
    with blockbuster_ctx([package for package in ("orchestrator", "bot") if find_spec(package)]):
        yield


@pytest.fixture(autouse=True)
def _logging_as_at_the_start() -> Iterator[None]:
    """A command run in this process sets the logging up for its own end; the next test has the default."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def docker_client() -> Iterator[docker.DockerClient]:
    """A client of the engine that is under test, for looking at what really is."""
    client = docker.from_env(timeout=30)
    yield client
    client.close()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory of this test alone; containers over it must be gone when the run ends."""
    path = tmp_path / "data"
    path.mkdir()
    return path


def loop_files() -> list[str]:
    """The files behind the loop devices of this host."""
    files = []
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # freed in between
            files.append(path.read_text().strip())
    return files


def mount_points() -> list[str]:
    """What this process sees mounted; a path with a blank in it is not what tests make."""
    return [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left(
    docker_client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Fail the run if a container, a mount or a loop device over one of its directories outlives it."""
    yield
    ours = str(tmp_path_factory.getbasetemp())
    left = []
    for container in docker_client.containers.list(
        all=True, filters={"label": INSTANCE_LABEL}, ignore_removed=True
    ):
        try:
            container.reload()
        except NotFound:
            continue
        if any(mount.get("Source", "").startswith(ours) for mount in container.attrs["Mounts"]):
            left.append(f"{container.name} ({container.status})")
            container.remove(force=True)
    left += [f"mount {point}" for point in mount_points() if point.startswith(ours)]
    left += [f"loop device over {file}" for file in loop_files() if file.startswith(ours)]
    assert not left, f"left behind: {', '.join(left)}"
