"""What every scenario works on: settings over a data directory of its own, the report, and turns in order."""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from orchestrator.bench.figures import Report
from orchestrator.bench.peer import Peer, PeerFailed
from orchestrator.domain.sandbox import RUNNER_CONTRACT, Mount, SandboxSpec
from orchestrator.settings import Settings

type Contestant = Callable[[], Awaitable[float]]
"""Does the work once and returns its seconds; what it tidies up afterwards is not in them."""


class Progress(Protocol):
    """Who is told how far the benchmark is."""

    def begin(self, title: str, steps: int) -> None: ...

    def step(self) -> None: ...


@dataclass(kw_only=True)
class Stage:
    """One run of the benchmark."""

    settings: Settings
    """Over a data directory that is this run's alone."""
    image: str
    """The pinned digest."""
    report: Report
    runs: int
    progress: Progress
    peers: Mapping[str, Peer] = field(default_factory=dict)

    async def rounds(
        self, title: str, contestants: Mapping[str, Contestant], runs: int | None = None
    ) -> Mapping[str, Sequence[float]]:
        """Let everybody work once uncounted, then `runs` times in turn, a different one first every time.

        A peer that fails in the middle is out, with the reason; the others go on.
        """
        runs = runs or self.runs
        names = list(contestants)
        seconds: dict[str, list[float]] = {name: [] for name in names}
        self.progress.begin(title, (runs + 1) * len(names))
        for number in range(runs + 1):
            first = number % len(names)
            for name in [*names[first:], *names[:first]]:
                if name in seconds:
                    try:
                        took = await contestants[name]()
                    except PeerFailed as error:
                        del seconds[name]
                        self.report.miss(title, name, f"in round {number}: {error}")
                    else:
                        seconds[name] += [took] if number else []
                self.progress.step()
        return seconds

    async def spec(self, name: str, *, warm: bool = False) -> SandboxSpec:
        """A container as an execution has it, for who works without the orchestrator; makes its mounts."""
        uid = self.settings.uid_base - 2
        directory = self.settings.data_dir / "bare" / name
        workspace, inputs = await asyncio.to_thread(_made, directory, uid)
        mounts = (
            Mount(source=workspace, target="/workspace", read_only=False),
            Mount(source=inputs, target="/inputs", read_only=True),
        )
        return SandboxSpec(
            execution_id=f"bench-{name}",
            owner="bench",
            uid=uid,
            image=self.image,
            runtime=self.settings.runtime,
            limits=self.settings.limits(),
            mounts=mounts,
            instance=self.instance,
            warm=warm,
        )

    @property
    def instance(self) -> str:
        """The label of the containers that are not the orchestrator's; told apart by this run's directory."""
        return f"bench-{self.settings.data_dir.name}"


@asynccontextmanager
async def own_directory() -> AsyncIterator[Path]:
    """A directory that is gone afterwards."""
    directory = await asyncio.to_thread(tempfile.mkdtemp, prefix="sandglass-bench-")
    try:
        yield Path(directory)
    finally:
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


def _made(directory: Path, uid: int) -> tuple[Path, Path]:
    """Both directories that a container mounts, owned by whoever runs in it."""
    workspace, inputs = directory / "workspace", directory / "inputs"
    for source in (workspace, inputs):
        source.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(source, uid, uid)
    return workspace, inputs


def request_line(code: str) -> bytes:
    """What the runner inside reads, for whoever works without the orchestrator."""
    request = {"contract": RUNNER_CONTRACT, "code": code, "inputs": [], "argv": [], "namespace": None}
    return json.dumps(request).encode() + b"\n"
