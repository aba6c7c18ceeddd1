"""An orchestrator in a process of its own, for tests that kill it: `worker.py DATA_DIR NAME MODE [ARGUMENT]`.

Prints `ready` once the engine has answered and something was handed in.
"""

import asyncio
import random
import sys
from pathlib import Path

from orchestrator import ExecutionResult, Orchestrator, Settings, open_orchestrator
from orchestrator.domain.sandbox import SandboxSpec
from orchestrator.engine.docker import DockerEngine
from orchestrator.engine.sandbox import DockerSandbox

WRITING = """
import os, time
for number in range({count}):
    with open("{name}-%d.bin" % number, "wb") as file:
        file.write(os.urandom({size}))
        file.flush()
        os.fsync(file.fileno())
    print("wrote", number, flush=True)
    time.sleep({pause})
time.sleep({linger})
"""


class Hanging(DockerEngine):
    """The real engine, whose `create` never comes back to the caller: before or after it has created."""

    def __init__(self, settings: Settings, *, after: bool) -> None:
        super().__init__(settings.image, settings.runtime, settings.docker_host)
        self._after = after

    async def create(self, spec: SandboxSpec) -> DockerSandbox:
        """Hang; the parent waits for `hanging` and kills us."""
        if self._after:
            await super().create(spec)
        print("hanging", flush=True)
        await asyncio.sleep(600)
        raise AssertionError


async def one(orchestrator: Orchestrator, name: str, **shape: object) -> ExecutionResult:
    """One execution of the owner `name`, with the id `name`."""
    code = WRITING.format(**{"name": name, "count": 1, "size": 10, "pause": 0, "linger": 0} | shape)
    return await orchestrator.execute_code(code, name.partition("-")[0], execution_id=name)


async def load(orchestrator: Orchestrator, name: str, seed: int) -> None:
    """Executions of three owners without an end, of random sizes."""
    dice = random.Random(seed)

    async def owner(owner_name: str) -> None:
        for number in range(1000):
            await one(
                orchestrator,
                f"{owner_name}-{name}-{number}",
                count=dice.randrange(4),
                size=dice.choice((0, 10, 1_000_000)),
                pause=dice.choice((0, 0.05)),
                linger=dice.choice((0, 0, 0.3)),
            )

    await asyncio.gather(*(owner(f"owner{number}") for number in dice.sample(range(8), 3)))


async def main(data_dir: Path, name: str, mode: str, *rest: str) -> None:
    """Do what `mode` says."""
    settings = Settings.load(data_dir=data_dir, slots=4)
    engine = Hanging(settings, after=mode == "created") if mode in {"creating", "created"} else None
    async with open_orchestrator(settings, engine=engine) as orchestrator:
        await orchestrator.reap()
        print("ready", flush=True)
        match mode:
            case "creating" | "created":
                await one(orchestrator, name)
            case "long":
                result = await one(orchestrator, name, linger=60)
                print(result.model_dump_json(), flush=True)
            case "two":
                first = asyncio.create_task(one(orchestrator, f"{name}-first", linger=60))
                await asyncio.sleep(0.2)
                second = await one(orchestrator, f"{name}-second")
                print(second.model_dump_json(), flush=True)
                await first
            case "large":
                await one(orchestrator, name, count=90, size=300_000)
            case "load":
                await load(orchestrator, name, int(rest[0]))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
