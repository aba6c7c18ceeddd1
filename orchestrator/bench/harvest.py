"""Harvesting a thousand small files against `cp -r` and `sha256sum` of the same tree."""

import asyncio
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

from orchestrator.bench.figures import Report, Samples
from orchestrator.clock import SystemClock
from orchestrator.domain.files import Manifest
from orchestrator.domain.limits import Limits
from orchestrator.errors import StorageFault
from orchestrator.settings import Settings
from orchestrator.storage.blobs import DirectoryBlobs
from orchestrator.storage.database import Database
from orchestrator.storage.workspaces import DirectoryWorkspaces

FILES = 1000
SIZE = 1000
_BOUND = 3.0


async def measure_harvest(settings: Settings, report: Report, *, runs: int) -> None:
    """Add the samples of `runs` harvests of 1 000 files of 1 KB to the report."""
    data = settings.data_dir
    database = await Database.open(data / "index.sqlite3")
    blobs = DirectoryBlobs(data / "blobs")
    workspaces = DirectoryWorkspaces(
        data / "workspaces", data / "staging", database, blobs, SystemClock(), settings.ttl, settings.uid_base
    )
    limits = replace(Limits(), harvest_files=10 * FILES)
    empty = Manifest(entries={}, bytes_used=0, inodes_used=0)
    ours, theirs = [], []
    try:
        workspace, uid = await workspaces.open("bench-harvest")
        await asyncio.to_thread(_fill, workspace, uid)
        for _ in range(runs):
            theirs.append(await _copy_and_hash(workspace, data / "peer-copy"))
            began = time.perf_counter()
            harvest = await workspaces.harvest("bench-harvest", empty, limits)
            ours.append(time.perf_counter() - began)
            if len(harvest.files) != FILES:
                raise StorageFault(f"The benchmark's harvest kept {len(harvest.files)} of {FILES} files.")
    finally:
        await database.close()
    report.compare(
        Samples(name="harvest 1 000 files of 1 KB", seconds=ours),
        Samples(name="cp -r and sha256sum", seconds=theirs),
        _BOUND,
    )


def _fill(workspace: Path, uid: int) -> None:
    for number in range(FILES):
        path = workspace / f"file-{number:04}.csv"
        path.write_bytes(os.urandom(SIZE // 2).hex().encode())
        os.chown(path, uid, uid)


async def _copy_and_hash(source: Path, target: Path) -> float:
    script = 'cp -r "$0" "$1" && find "$1" -type f -print0 | xargs -0 sha256sum'
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", script, str(source), str(target), stdout=asyncio.subprocess.DEVNULL
    )
    if await process.wait():
        raise StorageFault("`cp -r` and `sha256sum` of the benchmark's tree failed: is the disk full?")
    seconds = time.perf_counter() - began
    await asyncio.to_thread(shutil.rmtree, target)
    return seconds
