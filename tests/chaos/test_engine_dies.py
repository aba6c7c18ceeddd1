"""`kill -9` of the engine's daemon while code runs: on an engine of this test's own, never the shared one."""

import asyncio
import gc
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException

from orchestrator import Fault, Settings, open_orchestrator
from tests.chaos.support import until

IMAGE = "sandglass-sandbox:core"


class PrivateEngine:
    """A second dockerd: own root, own socket, no bridge, no rule in any firewall."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.socket = f"unix://{root / 'engine.sock'}"
        self._log = (root / "log").open("ab")
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        (self.root / "pid").unlink(missing_ok=True)
        self._daemon = subprocess.Popen(
            [
                "dockerd",
                *("--data-root", self.root / "data", "--exec-root", self.root / "exec"),
                *(
                    "--pidfile",
                    self.root / "pid",
                    "--host",
                    self.socket,
                    "--config-file",
                    self.root / "none.json",
                ),
                *("--bridge", "none", "--iptables=false", "--ip-masq=false"),
            ],
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        until(self._answers, seconds=60)

    def _answers(self) -> bool:
        time.sleep(0.1)
        done = subprocess.run(
            ["docker", "--host", self.socket, "version"], capture_output=True, check=False, timeout=20
        )
        return done.returncode == 0

    def kill(self) -> None:
        """As a crash would; its containerd dies with it, the containers do not."""
        assert self._daemon is not None
        containerd = self.root / "exec" / "containerd" / "containerd.pid"
        pid = int(containerd.read_text())
        self._daemon.kill()
        self._daemon.wait(10)
        until(lambda: _is_gone(pid))
        # Where nobody reaps orphans, the next daemon would take the zombie for a living containerd.
        containerd.unlink(missing_ok=True)

    def stop(self) -> None:
        """End it and the containerd that it started, and wait until both are gone."""
        assert self._daemon is not None
        containerd = self.root / "exec" / "containerd" / "containerd.pid"
        pid = int(containerd.read_text()) if containerd.exists() else 0
        if self._daemon.poll() is None:
            self._daemon.terminate()
            self._daemon.wait(30)
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            until(lambda: _is_gone(pid), seconds=20)
        self._log.close()
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed([mount for mount in mounts if mount.startswith(str(self.root))]):
            subprocess.run(["umount", "-l", mount], check=True)


def _is_gone(pid: int) -> bool:
    with suppress(OSError):
        return ") Z" in Path(f"/proc/{pid}/stat").read_text()
    return True


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[PrivateEngine]:
    """A private engine that has the small image."""
    # Not below tmp_path: containerd's sockets must fit in the 108 bytes of a socket's address.
    root = Path(tempfile.mkdtemp(prefix="sg-"))
    (root / "none.json").write_text("{}")
    private = PrivateEngine(root)
    try:
        private.start()
        archive = tmp_path / "image.tar"
        subprocess.run(["docker", "save", "--output", str(archive), IMAGE], check=True, timeout=60)
        load = ["docker", "--host", private.socket, "load", "--input", str(archive)]
        subprocess.run(load, check=True, timeout=100, capture_output=True)
        archive.unlink()
        yield private
    finally:
        private.stop()
        shutil.rmtree(root)
        gc.collect()  # while the warning below is still expected


@pytest.mark.timeout(240)
# docker-py leaves the sockets of connections that broke to the collector.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
async def test_the_engine_is_killed_while_code_runs(
    settings: Settings, data_dir: Path, engine: PrivateEngine
) -> None:
    """Every execution ends with a fault, what was written stays, and the next start leaves no container."""
    over = settings.model_copy(update={"docker_host": engine.socket, "image": IMAGE})
    code = "import time; open('kept.txt', 'w').write('kept'); print('wrote', flush=True); time.sleep(100)"
    async with open_orchestrator(over, maintain=False) as orchestrator:
        running = [
            asyncio.create_task(orchestrator.execute_code(code, owner, execution_id=owner))
            for owner in ("ann", "bob")
        ]
        for owner in ("ann", "bob"):
            await asyncio.to_thread(until, (data_dir / "workspaces" / owner / "kept.txt").exists)
        await asyncio.to_thread(engine.kill)
        for fault in await asyncio.wait_for(asyncio.gather(*running, return_exceptions=True), 60):
            assert isinstance(fault, Fault), fault
            assert str(fault).endswith((".", ")"))
        await asyncio.to_thread(engine.start)
        await orchestrator.reap()
        rows = await orchestrator.list_executions()
        assert {row.execution_id: row.state.is_terminal for row in rows} == {"ann": True, "bob": True}
        for owner in ("ann", "bob"):
            assert (data_dir / "workspaces" / owner / "kept.txt").read_text() == "kept"
        assert await orchestrator.engine.survey((data_dir / "instance").read_text()) == ()
        after = await orchestrator.execute_code("print(open('kept.txt').read())", "ann")
        assert after.output == "kept\n"
    assert await asyncio.to_thread(_containers, engine.socket) == []


def _containers(host: str) -> list[str]:
    client = docker.DockerClient(base_url=host, timeout=30)
    try:
        return [str(one.name) for one in client.containers.list(all=True)]
    except DockerException as error:
        return [str(error)]
    finally:
        client.close()
