"""Twenty people who ask ten things each at the same moment all get theirs, once, in turn."""

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWNERS = [f"o{number:02}" for number in range(20)]
MOST_MEMORY = 200_000_000


@pytest.mark.timeout(400)
async def test_two_hundred_executions_of_twenty_owners(data_dir: Path) -> None:
    """None lost, none run twice, each owner's in order, nobody two rounds ahead, our memory flat."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(__file__).with_name("crowd.py")), str(data_dir)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    seen = json.loads(said.splitlines()[-1])
    assert seen["wrong"] == []
    assert seen["rows"] == ["COMPLETED ok"]
    assert (seen["ids"], seen["count"], seen["containers"], seen["files"]) == (200, 200, 200, 200)
    for owner in OWNERS:
        log = (data_dir / "workspaces" / owner / "log").read_text()
        assert log.split() == [str(number) for number in range(10)], owner
    begun: Counter[str] = Counter()
    for owner in seen["starts"]:
        begun[owner] += 1
        # Two slots can swap neighbours: one round, and one that is just beginning.
        assert begun[owner] - min(begun[other] for other in OWNERS) <= 2
    assert seen["peak"] < MOST_MEMORY, seen
    assert seen["peak"] - seen["before"] < 40_000_000, seen
