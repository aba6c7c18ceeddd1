"""What an open orchestrator does by itself: it sweeps and reaps, each in its own time."""

import asyncio
import time
from pathlib import Path

import pytest

from orchestrator import Orchestrator, Settings, app, open_orchestrator
from tests.e2e.support import MovableClock


@pytest.fixture
def hurried(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose maintenance does not wait a minute."""
    monkeypatch.setattr(app, "_FIRST_SWEEP", 0.0)
    return Settings.load(data_dir=data_dir, sweep_interval=0.05, lease_seconds=1.1, standby_count=0)


async def test_what_has_expired_is_swept_without_being_asked(hurried: Settings, clock: MovableClock) -> None:
    """Again and again: a file that expires after the first sweep goes with a later one."""
    async with open_orchestrator(hurried, clock=clock) as orchestrator:
        for number in range(2):
            await orchestrator.upload_file("ann", b"x", f"{number}.txt")
            await orchestrator.prewarm("ann")  # whatever needs the engine begins the maintenance
            clock.move(hours=49)
            await asyncio.to_thread(_wait_for_no_blob, hurried.data_dir)
        assert (await orchestrator.get_interpreter_status()).last_cleanup is not None


async def test_a_long_sweep_holds_up_no_reaping(hurried: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a sweep does not end, what a crash left is still looked for."""
    reaped, sweeping, may_end = asyncio.Semaphore(0), asyncio.Event(), asyncio.Event()
    reap = Orchestrator.reap

    async def count(self: Orchestrator) -> None:
        await reap(self)
        reaped.release()

    async def last(self: Orchestrator) -> None:
        sweeping.set()
        await may_end.wait()

    monkeypatch.setattr(Orchestrator, "reap", count)
    monkeypatch.setattr(Orchestrator, "sweep", last)
    async with open_orchestrator(hurried) as orchestrator:
        await orchestrator.prewarm("ann")
        await sweeping.wait()
        for _ in range(3):
            await reaped.acquire()
        assert not may_end.is_set()


def _wait_for_no_blob(data: Path) -> None:
    while list((data / "blobs").glob("[0-9a-f][0-9a-f]/*")):
        time.sleep(0.02)
