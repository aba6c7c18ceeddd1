"""200 executions of 20 owners by what `sandglass run` does, all at once, in a process that is measured.

`crowd.py DATA_DIR` prints one line of JSON.
"""

import asyncio
import json
import re
import sys
import time
from pathlib import Path

from orchestrator import Execution, ExecutionResult, Orchestrator, Settings
from orchestrator.cli.run import RunArguments, _execute, _references
from orchestrator.cli.session import opened

OWNERS, EACH = 20, 10
CODE = "open('log', 'a').write('{number}\\n'); print('{owner} {number}')"


async def _one(orchestrator: Orchestrator, owner: str, number: int) -> tuple[str, int, ExecutionResult]:
    code = CODE.format(owner=owner, number=number)
    arguments = RunArguments(
        script=None, code=code, owner=owner, files=(), uploads=(), timeout=None, out=None, as_json=True
    )
    references = await _references(orchestrator, arguments)
    result, _ = await _execute(orchestrator, arguments, code, references)
    return owner, number, result


async def _crowd(settings: Settings) -> dict[str, object]:
    async with opened(settings) as orchestrator:
        await _one(orchestrator, "first", 0)
        resident = await asyncio.to_thread(_peak)
        began = time.monotonic()
        wanted = [(f"o{owner:02}", number) for number in range(EACH) for owner in range(OWNERS)]
        done = await asyncio.gather(*(_one(orchestrator, *one) for one in wanted))
        took = time.monotonic() - began
        rows = await orchestrator.list_executions(limit=1000)
    return {
        "wrong": [one[:2] for one in done if one[2].output != f"{one[0]} {one[1]}\n"],
        "ids": len({result.execution_id for _, _, result in done}),
        "rows": sorted({f"{row.state} {row.result and row.result.outcome}" for row in rows}),
        "count": len(rows) - 1,
        "containers": len({row.container_id for row in rows}) - 1,
        "starts": [row.owner for row in sorted(rows, key=_started)][1:],
        "files": sum(len(row.result.generated_files) for row in rows if row.result) - 1,
        "before": resident,
        "peak": await asyncio.to_thread(_peak),
        "seconds": round(took, 1),
        "longest_wait": round(max(result.timings.queued for _, _, result in done), 1),
    }


def _started(row: Execution) -> float:
    assert row.started_at is not None
    return row.started_at.timestamp()


def _peak() -> int:
    """Most bytes that this process ever had in memory."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


if __name__ == "__main__":
    ours = Settings.load(data_dir=Path(sys.argv[1]), queue_limit=OWNERS * EACH, disk_reserve=0)
    print(json.dumps(asyncio.run(_crowd(ours))))
