"""`sandglass serve` as a process: what it needs, how it says so, how it ends."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from orchestrator import Settings
from orchestrator.errors import ConfigurationError
from orchestrator.http.serve import bind, listen

SANDGLASS = Path(sys.executable).parent / "sandglass"
TOKEN = "a-token-of-this-test-alone"

type Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def begin(data_dir: Path) -> Iterator[Begin]:
    """Start `sandglass serve` with these arguments; it is told to end when the test does."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SANDGLASS_")}
    processes: list[subprocess.Popen[str]] = []

    def _begin(*arguments: str, **settings: str) -> subprocess.Popen[str]:
        environment = {"SANDGLASS_DATA_DIR": str(data_dir), "SANDGLASS_ATTEST": "false"} | settings
        process = subprocess.Popen(
            [str(SANDGLASS), "serve", *arguments],
            env=inherited | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield _begin
    for process in processes:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def address_of(process: subprocess.Popen[str]) -> str:
    """What it says when it serves."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("Serving on "), process.communicate(timeout=60)
    return line.removeprefix("Serving on ").strip()


def test_it_attests_serves_and_ends_its_executions_when_it_is_told_to_stop(begin: Begin) -> None:
    """Attacks first; then SIGTERM: who waits has a result, the exit code is 0, no line has the token."""
    process = begin("--port", "0", SANDGLASS_HTTP_TOKEN=TOKEN, SANDGLASS_ATTEST="true")
    headers = {"authorization": f"Bearer {TOKEN}", "accept": "application/x-ndjson"}
    with httpx2.Client(base_url=address_of(process), headers=headers, timeout=60) as client:
        body = {"code": "print('begun', flush=True)\nimport time\ntime.sleep(60)"}
        with client.stream("POST", "/v1/owners/u/executions", json=body) as answer:
            lines = answer.iter_lines()
            assert "accepted" in json.loads(next(lines))
            assert "output" in json.loads(next(lines))
            process.send_signal(signal.SIGTERM)
            last = json.loads(list(lines)[-1])
    assert last["result"]["outcome"] == "cancelled"
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert (out, TOKEN in err) == ("", False)


def test_a_socket_is_its_owners_alone_and_needs_no_token(begin: Begin, tmp_path: Path) -> None:
    """Mode 0600, in the place of a dead one, and gone afterwards."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    process = begin("--socket", str(path))
    assert address_of(process) == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path))) as client:
        assert client.get("http://sandglass/v1/bounds").json()["max_timeout"] == 300
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert not path.exists()


def test_without_a_token_it_does_not_start(begin: Begin) -> None:
    """Not on the loopback address either: every local user and every page in a browser can reach that."""
    process = begin("--port", "0", SANDGLASS_HTTP_TOKEN="")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert "SANDGLASS_HTTP_TOKEN is not set: make one with `openssl rand -hex 32`" in err


@pytest.mark.parametrize("token", ["too-short", "with a space, and long enough", "né" * 20, "x" * 513])
def test_a_token_that_is_too_weak_or_unfit_for_a_header_is_refused(token: str) -> None:
    """Named by its variable, and not repeated."""
    with pytest.raises(ConfigurationError, match="SANDGLASS_HTTP_TOKEN is not usable") as refused:
        Settings.load(http_token=token)
    assert token not in str(refused.value)


def test_a_taken_port_and_a_wrong_host_are_one_sentence(begin: Begin) -> None:
    """With what to choose anew."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = begin("--port", str(taken.getsockname()[1]), SANDGLASS_HTTP_TOKEN=TOKEN)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err.count("\n")) == (2, 1)
    assert "choose another --host or --port" in err
    with pytest.raises(ConfigurationError, match="choose another --host"):
        bind("256.256.256.256", 0)


def test_a_socket_takes_no_files_place_and_no_living_ones(tmp_path: Path) -> None:
    """A regular file stays what it is, and so does the socket of a service that runs."""
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ConfigurationError, match="choose another --socket"):
        listen(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"
    with listen(tmp_path / "s") as living:
        living.listen()
        with pytest.raises(ConfigurationError, match="already in use"):
            listen(tmp_path / "s")
    with pytest.raises(ConfigurationError, match="choose another --socket"):
        listen(tmp_path / ("x" * 200))


def test_other_commands_and_the_client_load_no_web_framework() -> None:
    """`sandglass --help` stays fast, and a bot that only asks needs no server."""
    code = (
        "import sys\nfrom orchestrator.cli.__main__ import app\n"
        "from orchestrator import open_remote, Sandglass\n"
        "print({'fastapi', 'starlette', 'uvicorn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
