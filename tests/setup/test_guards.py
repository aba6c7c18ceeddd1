"""The guards of the suite itself: each must bite, or green means nothing."""

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import docker
import pytest
from blockbuster import BlockingError

import orchestrator

ROOT = Path(__file__).parents[2]


def run_pytest(where: Path, test: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the text of one test module under the suite's own conftest and settings."""
    (where / "conftest.py").symlink_to(ROOT / "tests" / "conftest.py")
    (where / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(where)]
    return subprocess.run(
        [*command, "-p", "no:cacheprovider", "--basetemp", str(where / "base"), str(where / "test_it.py")],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_run_without_an_engine_says_so_and_fails(tmp_path: Path) -> None:
    """Without an engine the run ends at once, in one sentence and with a code of its own."""
    run = run_pytest(tmp_path, "def test(): pass", DOCKER_HOST=f"unix://{tmp_path}/no.sock")
    assert run.returncode == 4
    assert "No Docker engine answers: run `make engine`" in run.stdout + run.stderr
    assert "Traceback" not in run.stderr


async def test_a_blocking_call_on_the_event_loop_is_an_error() -> None:
    """A blocking call from a module of ours fails when a loop runs in the thread."""
    inside = str(Path(orchestrator.__path__[0]) / "anything.py")
    blocking = compile("import time; time.sleep(0.001)", inside, "exec")
    with pytest.raises(BlockingError):
        exec(blocking)


def test_a_blocking_call_without_an_event_loop_is_fine() -> None:
    """The same call in a plain thread is nobody's business."""
    started = time.monotonic()
    time.sleep(0.001)
    assert time.monotonic() > started


def test_a_warning_is_an_error(tmp_path: Path) -> None:
    """A warning fails the test that raised it."""
    run = run_pytest(tmp_path, "import warnings\ndef test(): warnings.warn('old', DeprecationWarning)")
    assert run.returncode == 1
    assert "DeprecationWarning: old" in run.stdout


def test_a_test_that_hangs_fails(tmp_path: Path) -> None:
    """The time limit ends an awaiting test as well as a sleeping one."""
    hanging = (
        "import asyncio, pytest, time\n"
        "@pytest.mark.timeout(1)\nasync def test_await(): await asyncio.sleep(60)\n"
        "@pytest.mark.timeout(1)\ndef test_sleep(): time.sleep(60)\n"
    )
    run = run_pytest(tmp_path, hanging)
    assert run.returncode == 1
    assert "2 failed" in run.stdout


def test_a_container_left_behind_fails_the_run(tmp_path: Path, docker_client: docker.DockerClient) -> None:
    """A container of ours over the run's data directories is removed and makes the run fail."""
    name = f"left-{uuid.uuid4().hex[:8]}"
    left = (
        "import docker\n"
        "def test(data_dir):\n"
        "    engine = docker.from_env()\n"
        "    engine.containers.create(IMAGE, ['true'], name=NAME, labels={'org.sandglass.instance': 'x'},\n"
        "        volumes={str(data_dir): {'bind': '/mnt', 'mode': 'ro'}})\n"
        "    engine.close()\n"
    )
    image = docker_client.images.get("sandglass-sandbox:latest").id
    run = run_pytest(tmp_path, f"IMAGE = {image!r}\nNAME = {name!r}\n{left}")
    assert run.returncode == 1
    assert f"left behind: {name} (created)" in run.stdout
    assert not docker_client.containers.list(all=True, filters={"name": name})
