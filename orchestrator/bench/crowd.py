"""1, 4 and 16 owners at once, against as many threads of the bare loop over the engine's API."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from orchestrator.bench.bare import BareLoop
from orchestrator.bench.figures import RATIO
from orchestrator.bench.ours import Ours
from orchestrator.bench.stage import Stage
from orchestrator.errors import EngineFault

SCENARIO = "owners at once"
CROWDS = (1, 4, 16)
_BURSTS = 6
"""Bursts are as many at 30 runs, and fewer at fewer."""
_EACH = 10
"""Executions of one owner alone in a burst; of many, two each."""
_RATE_AT_16 = 0.9
_SLOWEST = 2.0
"""The last owner of a burst is served at most this many times as late as the median one."""

type Work = Callable[[int], Coroutine[Any, Any, float]]
"""One execution of the owner of that number; returns its seconds."""


@dataclass
class Bursts:
    """What the bursts of one contestant showed."""

    latencies: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    slowest: list[float] = field(default_factory=list)

    async def one(
        self, owners: int, each: int, work: Work, settled: Callable[[], Coroutine[Any, Any, None]]
    ) -> float:
        """Every owner works `each` times, all owners at once; everything is gone after."""
        began = time.perf_counter()

        async def owner(number: int) -> float:
            for _ in range(each):
                self.latencies.append(await work(number))
            return time.perf_counter() - began

        finished = await asyncio.gather(*(owner(number) for number in range(owners)))
        await settled()
        took = time.perf_counter() - began
        self.rates.append(owners * each / took)
        self.slowest.append(max(finished) / median(finished))
        return took


async def measure_crowd(stage: Stage) -> None:
    """Latencies, executions per second and whether anybody starved, for every size of crowd."""
    bare = BareLoop(stage.settings.docker_host)
    try:
        async with Ours.opened(stage) as ours:
            for owners in CROWDS:
                await _measure(stage, ours, bare, owners)
    finally:
        await bare.close()


async def _measure(stage: Stage, ours: Ours, bare: BareLoop, owners: int) -> None:
    each = max(2, _EACH // owners)
    crowd, loop = Bursts(), Bursts()
    warming = Bursts()

    async def execute(number: int) -> float:
        began = time.perf_counter()
        result = await ours.orchestrator.execute_code("print(1)", f"bench-{number}")
        if result.output != "1\n":
            raise EngineFault(f"One of {owners} executions at once was {result.outcome}: run it again.")
        return time.perf_counter() - began

    specs = [await stage.spec(f"crowd-{number}") for number in range(owners)]

    async def loop_once(number: int) -> float:
        began = time.perf_counter()
        bout = await bare.run(specs[number], "print(1)")
        if bout.output != b"1\n":
            raise EngineFault(f"One of {owners} bare containers at once failed: run it again.")
        return time.perf_counter() - began

    async def nothing() -> None:
        return

    await warming.one(owners, 1, execute, ours.settled)
    await stage.rounds(
        f"{owners} at once",
        {
            "ours": lambda: crowd.one(owners, each, execute, ours.settled),
            "theirs": lambda: loop.one(owners, each, loop_once, nothing),
        },
        max(3, stage.runs // (30 // _BURSTS)),
    )
    _state(stage, owners, crowd, loop)


def _state(stage: Stage, owners: int, crowd: Bursts, loop: Bursts) -> None:
    report = stage.report
    report.add(SCENARIO, f"{owners}: Sandglass cold", crowd.latencies)
    report.add(SCENARIO, f"{owners}: bare loop", loop.latencies)
    report.state(
        SCENARIO,
        f"{owners}: executions per second of Sandglass / bare loop",
        median(crowd.rates) / median(loop.rates),
        RATIO,
        at_least=_RATE_AT_16 if owners == max(CROWDS) else None,
        more_is_better=True,
    )
    if owners > 1:
        report.state(
            SCENARIO,
            f"{owners}: last owner served / median owner",
            median(crowd.slowest),
            RATIO,
            at_most=_SLOWEST,
        )
    report.state(SCENARIO, f"{owners}: Sandglass", median(crowd.rates), "per second", more_is_better=True)
    report.state(SCENARIO, f"{owners}: bare loop", median(loop.rates), "per second", more_is_better=True)
