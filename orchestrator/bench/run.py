"""The whole benchmark over a data directory of its own, which is gone afterwards."""

import os
import platform
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version

from orchestrator.bench import anatomy, crowd, harvest, memory, output, store
from orchestrator.bench.executions import PLOT, PRINT, SCIENCE, measure_executions
from orchestrator.bench.figures import Report
from orchestrator.bench.peer import CANDIDATES, Peer, PeerFailed, cache_directory, peer_image, started
from orchestrator.bench.stage import Progress, Stage, own_directory
from orchestrator.engine.docker import DockerEngine
from orchestrator.errors import InvalidRequest
from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class Scenario:
    """One part of the benchmark; what it reports goes by its title."""

    title: str
    measure: Callable[[Stage], Awaitable[None]]


SCENARIOS: Mapping[str, Scenario] = {
    **{
        name: Scenario(program.scenario, partial(measure_executions, program=program))
        for name, program in (("print", PRINT), ("science", SCIENCE), ("plot", PLOT))
    },
    "anatomy": Scenario(anatomy.SCENARIO, anatomy.measure_anatomy),
    "harvest": Scenario(harvest.SCENARIO, harvest.measure_harvest),
    "output": Scenario(output.SCENARIO, output.measure_output),
    "crowd": Scenario(crowd.SCENARIO, crowd.measure_crowd),
    "memory": Scenario(memory.SCENARIO, memory.measure_memory),
    "store": Scenario(store.SCENARIO, store.measure_store),
}
"""By the names that `--only` takes."""


async def run_benchmark(
    settings: Settings, *, runs: int, progress: Progress, only: Sequence[str] = (), with_peers: bool = False
) -> Report:
    """Measure every scenario, or those named, `runs` times and report.

    Raises `InvalidRequest` for a name that there is not, and the faults of whatever is measured.
    """
    if unknown := set(only) - SCENARIOS.keys():
        raise InvalidRequest(
            f"There is no scenario {', '.join(sorted(unknown))}: choose among {', '.join(SCENARIOS)}."
        )
    began, load = time.perf_counter(), os.getloadavg()[0]
    async with _stage(settings, runs, progress, with_peers=with_peers) as stage:
        for name, scenario in SCENARIOS.items():
            if not only or name in only:
                await scenario.measure(stage)
        took = f"{runs} rounds in {time.perf_counter() - began:.0f} s, load {load:.1f} before"
        stage.report.machine = {"measured": f"{datetime.now(UTC):%Y-%m-%d}, {took}", **stage.report.machine}
        return stage.report


@asynccontextmanager
async def _stage(
    settings: Settings, runs: int, progress: Progress, *, with_peers: bool
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        directory = await stack.enter_async_context(own_directory())
        # One owner does here what a hundred would: how often each may is policy, not speed.
        own = settings.model_copy(update={"data_dir": directory, "rate_per_minute": 0})
        engine = DockerEngine(own.image, own.runtime, own.docker_host)
        stack.push_async_callback(engine.close)
        digest = (await engine.image()).digest
        machine = _machine(own, digest, (await engine.identity()).splitlines()[0])
        stage = Stage(
            settings=own, image=digest, report=Report(machine=machine), runs=runs, progress=progress
        )
        stack.push_async_callback(_swept, engine, stage.instance)
        if with_peers:
            stage.peers = await _peers(stage, stack)
            stage.report.machine = {**machine, **{peer.name: peer.version for peer in stage.peers.values()}}
        yield stage


async def _peers(stage: Stage, stack: AsyncExitStack) -> Mapping[str, Peer]:
    """Those that can be installed and started here; the others are reported with the reason."""
    peers: dict[str, Peer] = {}
    host = stage.settings.docker_host
    stage.progress.begin("installing and starting the peers", len(CANDIDATES))
    try:
        image = await stack.enter_async_context(peer_image(stage.settings.image, host))
    except PeerFailed as error:
        stage.report.miss("peers", "all of them", str(error))
        return peers
    for candidate in CANDIDATES:
        try:
            peers[candidate.name] = await stack.enter_async_context(
                started(candidate, image, cache_directory(), host)
            )
        except PeerFailed as error:
            stage.report.miss("peers", candidate.name, str(error))
        stage.progress.step()
    return peers


async def _swept(engine: DockerEngine, instance: str) -> None:
    """Remove what an interrupted run of the bare loop left."""
    for each in await engine.survey(instance):
        await engine.remove(each.container_id)


def _machine(settings: Settings, digest: str, server: str) -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "sandglass": version("sandglass"),
        "cores": str(os.cpu_count()),
        "memory": f"{memory / 2**30:.1f} GiB",
        "kernel": platform.release(),
        "engine": server,
        "runtime": settings.runtime,
        "python": platform.python_version(),
        "image": f"{settings.image} {digest[:19]}",
    }
