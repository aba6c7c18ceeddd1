"""The whole benchmark over a data directory of its own."""

import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

from orchestrator.bench.cold import PRINT, SCIENCE, measure_cold
from orchestrator.bench.figures import Report
from orchestrator.bench.harvest import measure_harvest
from orchestrator.settings import Settings

type Progress = Callable[[str], None]


async def run_benchmark(settings: Settings, *, runs: int, progress: Progress) -> Report:
    """Measure everything `runs` times (the slow parts fewer) and report; the data directory is removed."""
    report = Report(machine=_machine(settings))
    with tempfile.TemporaryDirectory(prefix="sandglass-bench-") as directory:
        own = settings.model_copy(update={"data_dir": Path(directory)})
        progress("cold print(1)")
        await measure_cold(own, report, code=PRINT, label="print(1)", runs=runs, bound=0.90)
        progress("cold imports of numpy, pandas, pyplot")
        await measure_cold(
            own, report, code=SCIENCE, label="numpy, pandas, pyplot", runs=max(5, runs // 4), bound=1.0
        )
        progress("harvest")
        await measure_harvest(own, report, runs=max(5, runs // 3))
    return report


def _machine(settings: Settings) -> dict[str, str]:
    return {
        "kernel": platform.release(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "runtime": settings.runtime,
        "image": settings.image,
    }
