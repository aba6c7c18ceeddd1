"""One execution that prints a lot, in a process of its own that is measured: `flood.py DATA_DIR BYTES KILL`.

KILL is the output past which it is killed, 0 for the shipped one. Prints one line of JSON.
"""

import asyncio
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

from orchestrator import Limits, Settings, Stream, open_orchestrator
from orchestrator.engine.docker import DockerEngine

FLOOD = """
import os, sys
print("the head")
sys.stdout.flush()
left, piece = {bytes}, b"x" * (1 << 16)
while left > 0:
    left -= os.write(1 if left % 3 else 2, piece[:left])
print("the tail")
"""


class Roomy(Settings):
    """Shipped settings but for the one bound."""

    def limits(self, timeout: float | None = None) -> Limits:
        """As shipped, and killed later."""
        shipped = super().limits(timeout)
        return replace(shipped, output_kill=int(sys.argv[3]) or shipped.output_kill)


def _resident(what: str) -> int:
    """Bytes of this process: `VmRSS` now, `VmHWM` at most since it was reset."""
    found = re.search(rf"^{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


async def _flood(settings: Settings) -> dict[str, object]:
    heard, log_path = 0, "never looked"

    async def listen(_: Stream, piece: bytes) -> None:
        nonlocal heard, log_path
        if not heard:
            engine = orchestrator.engine
            assert isinstance(engine, DockerEngine)
            found = await engine.survey((settings.data_dir / "instance").read_text())
            (running,) = [one.container_id for one in found if one.status == "running"]
            log_path = (await engine.effective(running))["LogPath"]
        heard += len(piece)

    async with open_orchestrator(settings, maintain=False) as orchestrator:
        await orchestrator.execute_code("print(1)", "flood", on_output=listen)
        heard, log_path = 0, "never looked"
        await asyncio.to_thread(Path("/proc/self/clear_refs").write_text, "5")
        before = await asyncio.to_thread(_resident, "VmRSS")
        code = FLOOD.format(bytes=sys.argv[2])
        result = await orchestrator.execute_code(code, "flood", timeout=100, on_output=listen)
        after = await asyncio.to_thread(_resident, "VmHWM")
    return {
        "grown": after - before,
        "resident": after,
        "heard": heard,
        "log": log_path,
        "outcome": result.outcome,
        "printed": result.output_bytes + result.error_bytes,
        "kept": len(result.output) + len(result.error),
        "head": result.output[:9],
        "tail": result.output[-9:],
        "note": [line for line in result.output.splitlines() if line.startswith("... ")],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_flood(Roomy.load(data_dir=Path(sys.argv[1]), disk_reserve=0)))))
