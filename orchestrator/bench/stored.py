"""A store of many files of which half have expired: what its sweep and one owner's listing cost.

Run as a module over a filled directory it sweeps once, so that the peak it prints is of a sweep alone.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestrator.domain.files import Harvest, Manifest, SweepReport
from orchestrator.domain.limits import Limits
from orchestrator.domain.outcomes import Outcome
from orchestrator.domain.results import ExecutionRequest, ExecutionResult, Timings
from orchestrator.domain.states import ExecutionState
from orchestrator.errors import StorageFault
from orchestrator.storage.blobs import DirectoryBlobs
from orchestrator.storage.database import Database
from orchestrator.storage.executions import SqlExecutions
from orchestrator.storage.files import SqlFiles
from orchestrator.storage.sweep import Sweeper
from orchestrator.storage.workspaces import DirectoryWorkspaces

PER_OWNER = 200
"""Files of one owner, one half expired."""

_LIFETIME = timedelta(hours=48)
_LATER = timedelta(hours=49)
_AT_ONCE = 4
_UID_BASE = 700_000
_LISTINGS = 20
_HOLDER = "bench"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFigures:
    """Seconds, MB (10^6 bytes) and milliseconds over a store of `files` files."""

    files: int
    fill_seconds: float
    sweep_seconds: float
    sweep_peak_mb: float
    sweep_growth_mb: float
    """The peak over what the process had with everything imported and nothing swept."""
    listing_ms: float
    """The median of one owner's listing in the process, with everything still stored."""
    listed: int


class LaterClock:
    """The host's time, `by` later."""

    def __init__(self, by: timedelta = _LATER) -> None:
        self.by = by

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC) + self.by


@dataclass(frozen=True, kw_only=True, slots=True)
class _Store:
    executions: SqlExecutions
    files: SqlFiles
    workspaces: DirectoryWorkspaces
    sweeper: Sweeper


async def measure_stored(data: Path, *, files: int = 100_000) -> StoredFigures:
    """Fill the empty directory `data` with `files` files, list one owner's, sweep in a process of its own.

    Raises `StorageFault` where the sweep did not leave exactly the half that lives.
    """
    began = time.perf_counter()
    await fill(data, files)
    filled = time.perf_counter() - began
    listing_ms, listed = await _listing(data)
    seen = await _sweep_elsewhere(data)
    left = await asyncio.to_thread(_blobs_in, data)
    if not seen["expired_files"] == left == files // 2:
        raise StorageFault(
            f"Of {files} files {left} were left by a sweep of {seen['expired_files']}: "
            "this is a defect, please report it."
        )
    return StoredFigures(
        files=files,
        fill_seconds=filled,
        sweep_seconds=seen["duration"],
        sweep_peak_mb=seen["peak_mb"],
        sweep_growth_mb=seen["growth_mb"],
        listing_ms=listing_ms,
        listed=listed,
    )


async def fill(data: Path, files: int) -> None:
    """Store `files` files, `PER_OWNER` an owner, through workspaces, harvests and commits as executions do.

    For `LaterClock` the first half of each owner's has expired, and everything on the disk is old.
    """
    gate = asyncio.Semaphore(_AT_ONCE)
    async with (
        _opened(data, LaterClock(timedelta()), _LIFETIME) as dying,
        _opened(data, LaterClock(timedelta()), 10 * _LIFETIME) as living,
        asyncio.TaskGroup() as group,
    ):
        for number in range(-(-files // PER_OWNER)):
            group.create_task(_fill_owner(f"owner{number}", dying, living, gate))


async def sweep_once(data: Path) -> SweepReport:
    """Sweep `data` as if `LaterClock` were right."""
    async with _opened(data, LaterClock(), _LIFETIME) as store:
        return await store.sweeper.sweep()


async def _fill_owner(owner: str, dying: _Store, living: _Store, gate: asyncio.Semaphore) -> None:
    async with gate:
        before = Manifest(entries={}, bytes_used=0, inodes_used=0)
        for store, half in ((dying, "dying"), (living, "living")):
            workspace, uid = await store.workspaces.open(owner)
            await asyncio.to_thread(_write, workspace, uid, half)
            await _execute(store, f"{owner}-{half}", owner, before)
            before = await store.workspaces.survey(owner, Limits())


def _write(workspace: Path, uid: int, half: str) -> None:
    directory = workspace / half
    directory.mkdir()
    for number in range(PER_OWNER // 2):
        path = directory / f"{number}.csv"
        path.write_bytes(b"a,b\n1,2\n" * (1 + number % 20))
        os.chown(path, uid, uid)
    os.chown(directory, uid, uid)


async def _execute(store: _Store, execution_id: str, owner: str, before: Manifest) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    await store.executions.add(
        execution_id, ExecutionRequest(code="", owner=owner), holder=_HOLDER, until=until
    )
    await store.executions.claim(execution_id, holder=_HOLDER, until=until, image="sha256:0", runtime="runc")
    state = ExecutionState.PREPARING
    for following in (ExecutionState.RUNNING, ExecutionState.HARVESTING):
        await store.executions.move(execution_id, state, following)
        state = following
    harvest = await store.workspaces.harvest(owner, before, replace(Limits(), harvest_files=PER_OWNER))
    result = _result(execution_id, owner, harvest)
    await store.executions.commit(result, harvest, old=state, new=ExecutionState.COMPLETED, holder=_HOLDER)


def _result(execution_id: str, owner: str, harvest: Harvest) -> ExecutionResult:
    return ExecutionResult(
        execution_id=execution_id,
        owner=owner,
        success=True,
        outcome=Outcome.OK,
        exit_code=0,
        hint=None,
        output="",
        error="",
        output_bytes=0,
        error_bytes=0,
        truncated=False,
        execution_time=0.0,
        timings=Timings(),
        warm=False,
        generated_files=tuple(found.file for found in harvest.files),
        generated_file_ids=tuple(found.file.file_id for found in harvest.files),
        skipped_files=harvest.skipped,
        image="sha256:0",
        runtime="runc",
    )


async def _listing(data: Path) -> tuple[float, int]:
    """Milliseconds of one owner's listing, the median, and how many it lists."""
    taken, listed = [], 0
    async with _opened(data, LaterClock(timedelta()), _LIFETIME) as store:
        for number in range(_LISTINGS):
            began = time.perf_counter()
            listed = len(await store.files.list(f"owner{number}"))
            taken.append(time.perf_counter() - began)
    return sorted(taken)[_LISTINGS // 2] * 1000, listed


async def _sweep_elsewhere(data: Path) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, str(data), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    if process.returncode:
        raise StorageFault(
            f"The benchmark's sweep ended with exit code {process.returncode}: see what it said."
        )
    seen: dict[str, float] = json.loads(printed.splitlines()[-1])
    return seen


def _blobs_in(data: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(data / "blobs"))


@asynccontextmanager
async def _opened(data: Path, clock: LaterClock, lifetime: timedelta) -> AsyncIterator[_Store]:
    database = await Database.open(data / "index.sqlite3")
    blobs = DirectoryBlobs(data / "blobs")
    workspaces = DirectoryWorkspaces(
        data / "workspaces", data / "staging", database, blobs, clock, lifetime, _UID_BASE
    )
    try:
        yield _Store(
            executions=SqlExecutions(database, clock),
            files=SqlFiles(database, blobs, clock, lifetime, Limits().file_bytes),
            workspaces=workspaces,
            sweeper=Sweeper(database, blobs, workspaces, clock, lifetime),
        )
    finally:
        await database.close()


def _memory(name: str) -> float:
    """`VmRSS` or `VmHWM` of this process in MB; unlike getrusage's it forgets the process before exec."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / 1e6


def _main() -> None:
    before = _memory("VmRSS")
    report = asyncio.run(sweep_once(Path(sys.argv[1])))
    peak = _memory("VmHWM")
    seen = asdict(report) | {"peak_mb": peak, "growth_mb": peak - before}
    sys.stdout.write(json.dumps(seen, default=str) + "\n")


if __name__ == "__main__":
    _main()
