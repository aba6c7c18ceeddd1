"""Fifty megabytes of output to a streaming reader, against `docker run | cat`."""

import asyncio
import os
import time
from functools import partial

from orchestrator.bench.dockerrun import DockerRun
from orchestrator.bench.figures import RATIO
from orchestrator.bench.ours import Ours
from orchestrator.bench.stage import Stage, request_line
from orchestrator.domain.sandbox import Stream
from orchestrator.errors import EngineFault

SCENARIO = "output of 50 MB"
_BYTES = 50_000_000
_CODE = (
    "import os\n"
    "piece, left = b'x' * 99 + b'\\n', 50_000_000\n"
    "piece *= 650\n"
    "while left: left -= os.write(1, piece[:left])\n"
)
_OURS, _THEIRS = "Sandglass to a streaming reader", "docker run piped to cat"
_LEAST = 0.5


async def measure_output(stage: Stage) -> None:
    """From the first byte to the last, so that the start of a container is in neither."""
    theirs = await DockerRun.on(stage)
    async with Ours.opened(stage) as ours:
        seconds = await stage.rounds(
            SCENARIO, {_OURS: partial(_streamed, ours), _THEIRS: partial(_piped, theirs)}
        )
    reader, cat = (stage.report.add(SCENARIO, name, seconds[name]) for name in (_OURS, _THEIRS))
    stage.report.state(
        SCENARIO, "speed of Sandglass / docker run piped to cat", cat.p50 / reader.p50, RATIO, at_least=_LEAST
    )
    stage.report.state(SCENARIO, _OURS, _BYTES / 1e6 / reader.p50, "MB/s", more_is_better=True)


async def _streamed(ours: Ours) -> float:
    moments: list[float] = []
    count = 0

    def reader(_stream: Stream, piece: bytes) -> None:
        nonlocal count
        count += len(piece)
        moments[1:] = [time.perf_counter()]

    result = await ours.orchestrator.execute_code(_CODE, "bench-output", on_output=reader)
    await ours.settled()
    return _checked(count, moments, f"ended with {result.outcome}")


async def _piped(theirs: DockerRun) -> float:
    return await asyncio.to_thread(_read_pipe, theirs)


def _read_pipe(theirs: DockerRun) -> float:
    import subprocess

    with subprocess.Popen(theirs.piped_to_cat(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None  # both are pipes, as asked
        assert process.stdout is not None
        process.stdin.write(request_line(_CODE))
        process.stdin.close()
        moments: list[float] = []
        count = 0
        while piece := os.read(process.stdout.fileno(), 1 << 18):
            count += len(piece)
            moments[1:] = [time.perf_counter()]
    return _checked(count, moments, f"ended with exit code {process.returncode}")


def _checked(count: int, moments: list[float], said: str) -> float:
    if count != _BYTES:
        raise EngineFault(f"The benchmark's output of {_BYTES} bytes {said} after {count}: run it again.")
    return moments[-1] - moments[0]
