"""Processes to be killed, and the one question of every test here: does everything agree afterwards?"""

import asyncio
import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from docker import DockerClient

from orchestrator import Execution, Orchestrator, Settings, open_orchestrator
from tests.conftest import INSTANCE_LABEL
from tests.e2e.support import MovableClock

ROOT = Path(__file__).resolve().parents[2]


class Worker:
    """A worker process and what it says."""

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.worker", str(data_dir), *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def _stdout(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def line(self) -> str:
        """The next line that it prints of its own accord; empty at its end."""
        while (line := self._stdout.readline()) and line.startswith("20"):
            pass  # a line of the log begins with the year
        return line.strip()

    def kill(self) -> None:
        """As a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self._stdout.close()


@contextmanager
def worker(data_dir: Path, *arguments: str) -> Iterator[Worker]:
    """A worker that has said that it is ready; killed in the end if it still lives."""
    started = Worker(data_dir, *arguments)
    try:
        assert started.line() == "ready"
        yield started
    finally:
        started.kill()


def states(data_dir: Path) -> dict[str, str]:
    """The state of every execution, read past the orchestrator."""
    path = data_dir / "index.sqlite3"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        return dict(connection.execute("SELECT execution_id, state FROM executions"))


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Poll every 2 ms."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


async def recovered(settings: Settings, docker_client: DockerClient) -> dict[str, Execution]:
    """Start again, reap, sweep once the grace of young blobs is over; assert that all agrees."""
    clock, data_dir = MovableClock(), settings.data_dir
    async with open_orchestrator(settings, clock=clock, maintain=False) as orchestrator:
        await orchestrator.reap()
        rows = await agreement(orchestrator, data_dir, docker_client)
        clock.move(hours=3)
        await orchestrator.sweep()
        assert await asyncio.to_thread(blob_ids, data_dir) == set(await asyncio.to_thread(indexed, data_dir))
        assert list((data_dir / "blobs" / ".tmp").glob("*")) == []
        assert list((data_dir / "staging").glob("*")) == []
    return rows


async def agreement(
    orchestrator: Orchestrator, data_dir: Path, docker_client: DockerClient
) -> dict[str, Execution]:
    """Rows are terminal, no container is left, every row has its bytes, every visible file its row."""
    rows = {row.execution_id: row for row in await orchestrator.list_executions(limit=100_000)}
    assert {i: row.state for i, row in rows.items() if not row.state.is_terminal} == {}
    await asyncio.to_thread(_look, data_dir, docker_client)
    return rows


def _look(data_dir: Path, docker_client: DockerClient) -> None:
    instance = (data_dir / "instance").read_text()
    label: dict[str, str | list[str] | bool] = {"label": f"{INSTANCE_LABEL}={instance}"}
    assert docker_client.containers.list(all=True, filters=label, ignore_removed=True) == []
    index = indexed(data_dir)
    for file_id, (_, _, sha256) in index.items():
        assert digest(_blob(data_dir, file_id)) == sha256
    known = {(owner, path, sha256) for owner, path, sha256 in index.values()}
    for path in (data_dir / "workspaces").glob("*/**/*"):
        if path.is_file():
            owner, _, name = str(path.relative_to(data_dir / "workspaces")).partition(os.sep)
            assert (owner, name, digest(path)) in known, f"{name} of {owner} was written and not harvested"


def _blob(data_dir: Path, file_id: str) -> Path:
    (found,) = (data_dir / "blobs").glob(f"[0-9a-f][0-9a-f]/{file_id}")
    return found


def indexed(data_dir: Path) -> dict[str, tuple[str, str, str]]:
    """Owner, path and hash of every file that the index names."""
    with closing(sqlite3.connect(f"file:{data_dir / 'index.sqlite3'}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT file_id, owner, path, sha256 FROM files WHERE deleted_at IS NULL")
        return {file_id: (owner, path, sha256) for file_id, owner, path, sha256 in rows}


def blob_ids(data_dir: Path) -> set[str]:
    """Every blob on the disk."""
    return {path.name for path in (data_dir / "blobs").glob("[0-9a-f][0-9a-f]/*")}


def digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
