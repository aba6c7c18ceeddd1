"""Private memory of a standby, against its interpreter with the same imports in a plain container."""

import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from orchestrator.bench.bare import BareLoop
from orchestrator.bench.figures import RATIO
from orchestrator.bench.ours import Ours
from orchestrator.bench.stage import Stage

SCENARIO = "memory of a standby"
_STANDBYS = 3
_MOST = 1.05
_IMPORTS = (
    "import importlib, os, sys\n"
    "for name in open('/opt/sandglass/preload.txt').read().split(): importlib.import_module(name)\n"
    "os.write(1, b'ready\\n')\n"
    "sys.stdin.readline()\n"
)
_PLAIN = ["/usr/bin/tini", "--", "/usr/bin/python3", "-I", "-B", "-u", "-c", _IMPORTS]
"""The same interpreter with the same imports that waits for a line, without our runner."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Of all processes of one container; bytes."""

    private: int
    proportional: int


async def measure_memory(stage: Stage) -> None:
    """Hold some of both alive at the same time, so that what all of them map is shared for everybody."""
    bare = BareLoop(stage.settings.docker_host)
    stage.progress.begin(SCENARIO, 2 * _STANDBYS)
    try:
        async with Ours.opened(stage) as ours, AsyncExitStack() as held:
            for number in range(_STANDBYS):
                await ours.prewarmed(f"bench-memory-{number}")
                stage.progress.step()
            standbys = await ours.standbys()
            if not standbys:
                stage.report.miss(SCENARIO, "Sandglass", "no standby became ready; are they switched off?")
                return
            plain = []
            for number in range(len(standbys)):
                spec = await stage.spec(f"plain-{number}")
                plain.append(
                    await held.enter_async_context(bare.held(spec, b"ready\n", Entrypoint=_PLAIN, Cmd=[]))
                )
                stage.progress.step()
            found = [[_memory(await bare.pid(each)) for each in kind] for kind in (standbys, plain)]
    except PermissionError:
        stage.report.miss(SCENARIO, "Sandglass", "only root may read the memory of other users' processes")
        return
    finally:
        await bare.close()
    _state(stage, *found)


def _state(stage: Stage, ours: Sequence[Memory], plain: Sequence[Memory]) -> None:
    private, baseline = median(each.private for each in ours), median(each.private for each in plain)
    stage.report.state(
        SCENARIO, "private, standby / plain interpreter", private / baseline, RATIO, at_most=_MOST
    )
    for name, found in (("standby", ours), ("plain interpreter", plain)):
        stage.report.state(SCENARIO, f"{name}, private", median(each.private for each in found) / 1e6, "MB")
        stage.report.state(
            SCENARIO, f"{name}, proportional", median(each.proportional for each in found) / 1e6, "MB"
        )


def _memory(pid: int) -> Memory:
    rolled = [_text(each, "smaps_rollup") for each in _tree(pid)]
    return Memory(
        private=sum(_bytes(text, "Private_Clean") + _bytes(text, "Private_Dirty") for text in rolled),
        proportional=sum(_bytes(text, "Pss") for text in rolled),
    )


def _tree(pid: int) -> Sequence[int]:
    """A process and all that descend from it."""
    children = _text(pid, f"task/{pid}/children").split()
    return [pid, *(each for child in children for each in _tree(int(child)))]


def _text(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def _bytes(rollup: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", rollup, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
