"""A sweep and one owner's listing at 100 000 stored files."""

from orchestrator.bench.stage import Stage
from orchestrator.bench.stored import measure_stored

SCENARIO = "100 000 stored files"
_LISTING_MS = 20.0


async def measure_store(stage: Stage) -> None:
    """Once: to fill the store takes longest."""
    stage.progress.begin(f"{SCENARIO}, filled, listed and swept", 1)
    directory = stage.settings.data_dir / "stored"
    directory.mkdir()
    found = await measure_stored(directory)
    stage.progress.step()
    state = stage.report.state
    state(SCENARIO, f"listing of one owner's {found.listed}", found.listing_ms, "ms", at_most=_LISTING_MS)
    state(SCENARIO, "sweep of the expired half", found.sweep_seconds, "s")
    state(SCENARIO, "peak memory of the sweep", found.sweep_peak_mb, "MB")
    state(SCENARIO, "growth of memory by the sweep", found.sweep_growth_mb, "MB")
    state(SCENARIO, "filling, all through harvest and commit", found.fill_seconds, "s")
