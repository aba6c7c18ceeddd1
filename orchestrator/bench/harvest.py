"""Harvesting many small files, and few large ones, against `cp -r` and `sha256sum` of the same tree."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from orchestrator.bench.stage import Contestant, Stage
from orchestrator.clock import SystemClock
from orchestrator.domain.files import Manifest
from orchestrator.domain.limits import Limits
from orchestrator.errors import StorageFault
from orchestrator.storage.blobs import DirectoryBlobs
from orchestrator.storage.database import Database
from orchestrator.storage.workspaces import DirectoryWorkspaces

SCENARIO = "harvest"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """What lies in the workspace."""

    name: str
    files: int
    size: int
    bound: float | None


TREES = (
    Tree(name="1 000 files of 1 kB", files=1000, size=1000, bound=3.0),
    Tree(name="4 files of 25 MB", files=4, size=25_000_000, bound=None),
)


async def measure_harvest(stage: Stage) -> None:
    """Harvest both trees into a store of their own, in turn with the copy."""
    for tree in TREES:
        directory = stage.settings.data_dir / f"harvest-{tree.files}"
        await asyncio.to_thread(directory.mkdir)
        async with _store(stage, directory) as (workspaces, blobs):
            workspace, uid = await workspaces.open("bench")
            await asyncio.to_thread(_fill, workspace, uid, tree)
            ours, theirs = f"{tree.name}: Sandglass", f"{tree.name}: cp -r and sha256sum"
            seconds = await stage.rounds(
                f"{SCENARIO} of {tree.name}",
                {
                    ours: _harvesting(workspaces, blobs, tree),
                    theirs: partial(_copy_and_hash, workspace, directory / "copy"),
                },
            )
        stage.report.compare(
            stage.report.add(SCENARIO, ours, seconds[ours]),
            stage.report.add(SCENARIO, theirs, seconds[theirs]),
            tree.bound,
            f"{tree.name}: Sandglass / cp -r and sha256sum",
        )
        await asyncio.to_thread(shutil.rmtree, directory)


@asynccontextmanager
async def _store(stage: Stage, directory: Path) -> AsyncIterator[tuple[DirectoryWorkspaces, DirectoryBlobs]]:
    settings = stage.settings
    database = await Database.open(directory / "index.sqlite3")
    blobs = DirectoryBlobs(directory / "blobs")
    workspaces = DirectoryWorkspaces(
        directory / "workspaces",
        directory / "staging",
        database,
        blobs,
        SystemClock(),
        settings.ttl,
        settings.uid_base,
    )
    try:
        yield workspaces, blobs
    finally:
        await database.close()


def _harvesting(workspaces: DirectoryWorkspaces, blobs: DirectoryBlobs, tree: Tree) -> Contestant:
    limits = replace(Limits(), harvest_files=10 * tree.files)
    empty = Manifest(entries={}, bytes_used=0, inodes_used=0)

    async def harvest() -> float:
        began = time.perf_counter()
        found = await workspaces.harvest("bench", empty, limits)
        seconds = time.perf_counter() - began
        if len(found.files) != tree.files:
            raise StorageFault(
                f"The benchmark's harvest kept {len(found.files)} of {tree.files} files: "
                "free some disk space."
            )
        for each in found.files:
            await blobs.delete(each.file.file_id)
        return seconds

    return harvest


def _fill(workspace: Path, uid: int, tree: Tree) -> None:
    for number in range(tree.files):
        path = workspace / f"file-{number:04}.csv"
        path.write_bytes(os.urandom(tree.size // 2).hex().encode())
        os.chown(path, uid, uid)


async def _copy_and_hash(source: Path, target: Path) -> float:
    script = 'cp -r "$0" "$1" && find "$1" -type f -print0 | xargs -0 sha256sum'
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", script, str(source), str(target), stdout=asyncio.subprocess.DEVNULL
    )
    if await process.wait():
        raise StorageFault("`cp -r` and `sha256sum` of the benchmark's tree failed: free some disk space.")
    seconds = time.perf_counter() - began
    await asyncio.to_thread(shutil.rmtree, target)
    return seconds
