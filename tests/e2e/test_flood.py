"""A gigabyte printed costs us next to nothing, and says how much of it was dropped."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from orchestrator.domain.limits import KIB, MIB

ROOT = Path(__file__).parents[2]
GIGABYTE = 1_000_000_000
MOST_GROWN = 20_000_000


async def _flood(data_dir: Path, *, kill: int) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("flood.py")),
        *(str(data_dir), str(GIGABYTE), str(kill)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


async def test_a_gigabyte_printed_ends_at_the_shipped_bound(data_dir: Path) -> None:
    """As shipped, the container dies past 64 MiB; we grew by less than 20 MB and the host has no log."""
    seen = await _flood(data_dir, kill=0)
    assert seen["outcome"] == "output_limit"
    assert 64 * MIB < seen["printed"] < GIGABYTE
    assert seen["heard"] <= 64 * MIB
    assert seen["grown"] < MOST_GROWN
    assert (seen["head"], seen["log"]) == ("the head\n", "")


async def test_a_gigabyte_that_is_let_through_is_counted_and_not_kept(data_dir: Path) -> None:
    """With a higher bound all of it flows to whoever listens; head and tail are kept, the rest is counted."""
    seen = await _flood(data_dir, kill=2 * GIGABYTE)
    assert (seen["outcome"], seen["printed"], seen["heard"]) == ("ok", GIGABYTE + 18, GIGABYTE + 18)
    assert seen["grown"] < MOST_GROWN
    assert (seen["head"], seen["tail"], seen["log"]) == ("the head\n", "the tail\n", "")
    assert seen["kept"] < 4 * 64 * KIB + 200
    assert len(seen["note"]) == 1
