"""A whole cold execution against `docker run` with the same flags, one after the other in turn."""

import asyncio
import json
import os
import time
from pathlib import Path

from orchestrator.app import open_orchestrator
from orchestrator.bench.figures import Report, Samples
from orchestrator.bench.timed import Stopwatch, TimedEngine
from orchestrator.domain.limits import Limits
from orchestrator.domain.sandbox import RUNNER_CONTRACT
from orchestrator.engine.docker import DockerEngine
from orchestrator.errors import EngineFault
from orchestrator.settings import Settings

PRINT = "print(1)"
SCIENCE = "import numpy, pandas, matplotlib.pyplot\nprint(1)"


async def measure_cold(
    settings: Settings, report: Report, *, code: str, label: str, runs: int, bound: float
) -> None:
    """Add the samples of `runs` cold executions of `code` and of `docker run` of the same to the report."""
    stopwatch = Stopwatch()
    docker = DockerEngine(settings.image, settings.runtime, settings.docker_host)
    ours, overhead, theirs = [], [], []
    try:
        async with open_orchestrator(settings, engine=TimedEngine(docker, stopwatch)) as orchestrator:
            await orchestrator.execute_code(code, "bench")
            stopwatch.take(time.perf_counter())
            for _ in range(runs):
                began = time.perf_counter()
                result = await orchestrator.execute_code(code, "bench")
                ended = time.perf_counter()
                if result.output != "1\n":
                    raise EngineFault(f"The benchmark's program failed: {result.error[-200:]}")
                ours.append(ended - began)
                overhead.append(ended - began - stopwatch.take(ended))
                theirs.append(await _docker_run(settings, code))
    finally:
        await docker.close()
    report.compare(
        Samples(name=f"cold {label}", seconds=ours),
        Samples(name=f"docker run {label}", seconds=theirs),
        bound,
    )
    report.samples.append(Samples(name=f"cold {label}, ours around the engine's calls", seconds=overhead))


async def _docker_run(settings: Settings, code: str) -> float:
    limits = Limits()
    workspace, inputs = settings.data_dir / "peer-workspace", settings.data_dir / "peer-inputs"
    for directory in (workspace, inputs):
        await asyncio.to_thread(_open_to, directory, settings.uid_base)
    flags = {
        "network": "none",
        "cap-drop": "ALL",
        "security-opt": "no-new-privileges",
        "user": f"{settings.uid_base}:{settings.uid_base}",
        "memory": str(limits.memory),
        "memory-swap": str(limits.memory),
        "pids-limit": str(limits.pids),
        "cpus": str(limits.cpus),
        "shm-size": str(limits.shm),
        "ipc": "private",
        "tmpfs": f"/tmp:rw,noexec,nosuid,nodev,size={limits.tmpfs},mode=1777",  # noqa: S108  # inside the sandbox
        "log-driver": "none",
        "workdir": "/workspace",
    }
    command = [
        *("docker", "run", "--rm", "--interactive", "--read-only"),
        *(f"--{name}={value}" for name, value in flags.items()),
        *(f"--ulimit={each}" for each in (f"nofile={limits.nofile}", "core=0", f"fsize={limits.file_bytes}")),
        *(f"--volume={workspace}:/workspace", f"--volume={inputs}:/inputs:ro", settings.image),
    ]
    request = {"contract": RUNNER_CONTRACT, "code": code, "inputs": [], "argv": [], "namespace": None}
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate(json.dumps(request).encode() + b"\n")
    seconds = time.perf_counter() - began
    if output != b"1\n":
        raise EngineFault(f"`docker run` of the same program failed with exit code {process.returncode}.")
    return seconds


def _open_to(directory: Path, uid: int) -> None:
    directory.mkdir(exist_ok=True)
    os.chown(directory, uid, uid)
