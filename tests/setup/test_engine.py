"""`make engine`: one that answers is left alone, a dead one is started, or one sentence says what to do."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

ROOT = Path(__file__).parents[2]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may start an engine; CI runs as root")


@dataclass(frozen=True, kw_only=True)
class PrivateEngine:
    """An engine beside the machine's own: other socket, other files, no network of its own."""

    home: Path

    @property
    def host(self) -> str:
        return f"unix://{self.home}/docker.sock"

    @property
    def socket(self) -> Path:
        return self.home / "docker.sock"

    @property
    def pidfile(self) -> Path:
        return self.home / "docker.pid"

    def ensure(self, *, patience: int = 60, **environment: str) -> subprocess.CompletedProcess[str]:
        """What `make engine` runs, aimed at this engine; returning shows that no pipe is held open."""
        private = {
            "DOCKER_HOST": self.host,
            "PYTHON": sys.executable,
            "DOCKERD_LOG": f"{self.home}/dockerd.log",
            "DOCKERD_PIDFILE": str(self.pidfile),
            "DOCKERD_EXEC_ROOT": f"{self.home}/exec",
            "DOCKERD_FLAGS": f"--data-root={self.home}/data --bridge=none --iptables=false --ip-forward=false"
            " --containerd-namespace=sandglass-test --containerd-plugins-namespace=sandglass-test-plugins",
            "ENGINE_PATIENCE": str(patience),
        }
        return subprocess.run(
            [ROOT / ".ci" / "engine.sh"],
            env=os.environ | private | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def pid(self) -> int:
        return int(self.pidfile.read_text())

    def name_of(self, pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            return ""

    def version(self) -> str:
        client = docker.DockerClient(base_url=self.host, timeout=10)
        try:
            return str(client.version()["ApiVersion"])
        finally:
            client.close()

    def end(self) -> None:
        """Stop the daemon by its pid and wait until it is gone."""
        if not self.pidfile.exists():
            return
        pid = self.pid()
        # A test that failed early leaves a pid file that names somebody else.
        if self.name_of(pid) != "dockerd":
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 30
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        # A daemon that was killed leaves its data root mounted on itself.
        mounted = Path("/proc/self/mountinfo").read_text().count(f" {self.home}/data ")
        for _ in range(mounted):
            subprocess.run(["umount", self.home / "data"], check=True)


@pytest.fixture
def engine() -> Iterator[PrivateEngine]:
    """A private engine, not started; a short path, because a socket's is limited to 107 bytes."""
    home = Path(tempfile.mkdtemp(prefix="engine-", dir="/tmp"))
    private = PrivateEngine(home=home)
    yield private
    private.end()
    shutil.rmtree(home)


def leave_dead_socket(path: Path) -> None:
    """A socket file that nobody listens on, as a restart of the machine leaves it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.close()


def test_an_engine_that_answers_is_left_alone() -> None:
    """With an engine up nothing is said, and nothing is tried: the pid file's folder does not exist."""
    done = subprocess.run(
        [ROOT / ".ci" / "engine.sh"],
        env=os.environ | {"PYTHON": sys.executable, "DOCKERD_PIDFILE": "/nonexistent/docker.pid"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_root
def test_a_dead_daemon_is_started_detached_over_what_it_left(engine: PrivateEngine) -> None:
    """Neither a dead socket nor somebody else's pid stops it; a second call starts no other."""
    leave_dead_socket(engine.socket)
    engine.pidfile.write_text(str(os.getpid()))

    started = engine.ensure()

    assert started.returncode == 0, started.stderr
    assert "starting dockerd" in started.stdout
    assert "Docker answers" in started.stdout
    assert engine.version()
    pid = engine.pid()
    assert pid != os.getpid()
    assert os.getsid(pid) != os.getsid(0), "the daemon must outlive the terminal"
    assert Path(f"/proc/{pid}/fd/1").readlink() == engine.home / "dockerd.log"

    again = engine.ensure()
    assert (again.returncode, again.stdout) == (0, "")
    assert engine.pid() == pid


@needs_root
def test_a_daemon_that_is_killed_comes_back(engine: PrivateEngine) -> None:
    """After kill -9 the socket file and the pid file are still there, and the next call starts it again."""
    assert engine.ensure().returncode == 0
    first = engine.pid()
    os.kill(first, signal.SIGKILL)
    while Path(f"/proc/{first}").exists():
        time.sleep(0.05)
    assert engine.socket.exists()

    assert engine.ensure().returncode == 0
    assert engine.pid() != first
    assert engine.version()


@needs_root
def test_a_daemon_that_cannot_start_is_told_with_its_log(engine: PrivateEngine) -> None:
    """A dockerd that dies at once ends in one sentence that names the log."""
    failed = engine.ensure(patience=2, DOCKERD_FLAGS="--no-such-flag")
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert f"see the end of {engine.home}/dockerd.log" in failed.stderr
    assert "no-such-flag" in (engine.home / "dockerd.log").read_text()


def as_nobody(host: str) -> subprocess.CompletedProcess[str]:
    """`make engine` by a user without rights; the venv may be closed to them, hence the system's Python."""
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*drop, "bash", "-s"],
        input=(ROOT / ".ci" / "engine.sh").read_text(),
        env=os.environ | {"DOCKER_HOST": host, "PYTHON": "/usr/bin/python3"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("host", "remedy"),
    [
        ("tcp://127.0.0.1:1", "start that engine or unset DOCKER_HOST"),
        ("unix:///nonexistent/docker.sock", "start it"),
    ],
)
def test_whoever_cannot_start_one_is_told_what_to_do(host: str, remedy: str) -> None:
    """Another host's engine, or no root: one sentence with the remedy, and exit code 1."""
    told = as_nobody(host)
    assert told.returncode == 1
    assert told.stdout == ""
    assert told.stderr.count("\n") == 1
    assert remedy in told.stderr


@needs_root
def test_a_socket_without_permission_names_the_group(engine: PrivateEngine) -> None:
    """A socket that one may not use is told apart from a dead engine."""
    engine.home.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(engine.socket))
        listener.listen()
        engine.socket.chmod(0o600)
        told = as_nobody(engine.host)
    assert told.returncode == 1
    assert told.stderr.count("\n") == 1
    assert "usermod -aG docker" in told.stderr
