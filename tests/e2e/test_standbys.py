"""Warm standbys in real containers: what the code sees, what it cannot do, and how one may die."""

# ruff: noqa: E501  (the programs in strings run inside the sandbox, as they are)

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from orchestrator import Orchestrator, Outcome, Settings, Stream, open_orchestrator
from orchestrator.domain.sandbox import LABEL_KIND

LOOK = """
import json, os, resource, sys, threading, random, locale, signal, time
import numpy, pandas, matplotlib.pyplot as plt, matplotlib.backends.backend_agg, PIL.PngImagePlugin
def read(path):
    try:
        return open(path).read()
    except OSError as error:
        return type(error).__name__
status = dict(line.split(":\\t", 1) for line in read("/proc/self/status").splitlines())
print(json.dumps({
    "environment": dict(os.environ),
    "arguments": (sys.argv, sys.path, sys.flags.isolated, sys.dont_write_bytecode),
    "descriptors": {n: os.readlink(f"/proc/self/fd/{n}").split(":")[0] for n in ("0", "1", "2")},
    "open": len(os.listdir("/proc/self/fd")),
    "parent": os.getppid(),
    "identity": (os.getuid(), os.getgid(), os.getgroups(), os.umask(0o22)),
    "directory": (os.getcwd(), sorted(os.listdir("."))),
    "inputs": sorted(os.listdir("/inputs")),
    "tmp": sorted(os.listdir("/tmp")),
    "threads": (threading.active_count(), len(os.listdir("/proc/self/task"))),
    "limits": {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name[:7] == "RLIMIT_"},
    "status": {name: status[name] for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp", "Threads", "SigIgn", "SigCgt")},
    "memory": (read("/sys/fs/cgroup/memory/memory.limit_in_bytes"), read("/sys/fs/cgroup/memory.max")),
    "pids": (read("/sys/fs/cgroup/pids/pids.max"), read("/sys/fs/cgroup/pids.max")),
    "mounts": sorted(tuple(line.split()[i] for i in (1, 2)) for line in read("/proc/self/mounts").splitlines()),
    "modules": sorted(set(sys.modules) - {"sandglass_runner.warm"}),
    "globals": sorted(globals()),
    "matplotlib": {key: str(value) for key, value in plt.rcParams.items()},
    "figures": plt.get_fignums(),
    "session": (os.getsid(0) == os.getpgrp(), os.nice(0), time.tzname, locale.getlocale()),
}))
"""

FACTS = "import random, numpy; print(random.random(), numpy.random.rand(), hash('a'))"


async def warm(orchestrator: Orchestrator, owner: str) -> None:
    """Have a standby."""
    assert await orchestrator.prewarm(owner)


def standby_of(docker_client: docker.DockerClient, data_dir: Path) -> Container:
    """The one container of this data directory that waits."""
    found = docker_client.containers.list(all=True, filters={"label": f"{LABEL_KIND}=standby"})
    ours = [
        container
        for container in found
        if any(mount["Source"].startswith(str(data_dir)) for mount in container.attrs["Mounts"])
    ]
    assert len(ours) == 1
    return ours[0]


async def until_named(orchestrator: Orchestrator, execution_id: str) -> None:
    """Return when the row names its container, which it does a moment after the code was handed over."""
    for _ in range(500):
        if (await orchestrator.get_execution(execution_id)).container_id is not None:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def test_code_sees_the_same_cold_and_warm(orchestrator: Orchestrator) -> None:
    """Environment, descriptors, identity, limits, mounts, modules, threads and matplotlib do not differ."""
    await orchestrator.upload_file("ann", b"x\n1\n", "data.csv")
    cold = await orchestrator.execute_code(LOOK, "ann")
    await warm(orchestrator, "ann")
    second = await orchestrator.execute_code(LOOK, "ann")
    assert (cold.error, second.error) == ("", "")
    assert (cold.warm, second.warm) == (False, True)
    seen, expected = json.loads(second.output), json.loads(cold.output)
    assert {name: value for name, value in seen.items() if value != expected[name]} == {}
    assert len(seen["inputs"]) == 1


async def test_randomness_is_fresh_after_the_hand_over(orchestrator: Orchestrator) -> None:
    """Two standbys of one owner draw nothing alike."""
    drawn = []
    for _ in range(2):
        await warm(orchestrator, "ann")
        result = await orchestrator.execute_code(FACTS, "ann")
        assert result.warm
        drawn.append(result.output.split())
    assert all(one != other for one, other in zip(*drawn, strict=True))


async def test_files_given_at_the_hand_over_are_there_and_files_made_come_back(
    orchestrator: Orchestrator,
) -> None:
    """What was uploaded after the standby began to wait is loaded by name; /inputs stays read-only."""
    await warm(orchestrator, "ann")
    await orchestrator.upload_file("ann", b"x,y\n1,2\n", "late.csv")
    code = (
        "frame = load_file('late.csv')\nframe.to_json('out.json')\n"
        "try:\n    open('/inputs/mine', 'w')\nexcept OSError as error:\n    print(error.errno)\nframe.shape"
    )
    result = await orchestrator.execute_code(code, "ann")
    assert (result.warm, result.output, result.error) == (True, "30\n(1, 2)\n", "")
    assert [file.filename for file in result.generated_files] == ["out.json"]


async def test_another_owners_standby_knows_nothing_of_the_first(orchestrator: Orchestrator) -> None:
    """Two owners' standbys wait side by side; each sees its own workspace and inputs."""
    for owner in ("ann", "bob"):
        await orchestrator.upload_file(owner, owner.encode(), f"{owner}.txt")
        await warm(orchestrator, owner)
    look = "import os; print(os.listdir('/inputs'), open('mine', 'a').write('x'), os.path.getsize('mine'))"
    for owner, other in (("ann", "bob"), ("bob", "ann")):
        result = await orchestrator.execute_code(look, owner)
        assert result.warm
        assert owner in result.output
        assert other not in result.output
        assert result.output.endswith("1 1\n")


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("import sys; print('kept', flush=True); sys.exit(3)", Outcome.NONZERO_EXIT),
        ("print('kept', flush=True)\nx = bytearray(3 << 30)\nx[::4096] = x[::4096]", Outcome.OUT_OF_MEMORY),
        ("print('kept', flush=True)\nwhile True: pass", Outcome.TIMED_OUT),
        ("import os, signal; print('kept', flush=True); os.kill(os.getpid(), 9)", Outcome.KILLED),
        ("print('kept', flush=True)\nwhile True: print('x' * 60_000)", Outcome.OUTPUT_LIMIT),
    ],
)
async def test_every_end_is_told_as_for_a_cold_start(
    orchestrator: Orchestrator, code: str, outcome: Outcome
) -> None:
    """The outcome comes from the same evidence, and what was said before is kept."""
    await warm(orchestrator, "ann")
    result = await orchestrator.execute_code(
        code, "ann", timeout=20 if outcome is not Outcome.TIMED_OUT else 2
    )
    assert (result.warm, result.outcome) == (True, outcome)
    assert result.output.startswith("kept\n")
    assert result.hint


async def test_a_warm_execution_is_inspected_and_killed_like_any_other(
    orchestrator: Orchestrator, settings: Settings
) -> None:
    """Its effective lockdown is what a standby is made with; another process names it, and kills it."""
    await warm(orchestrator, "ann")
    began = asyncio.Event()

    def heard(_: Stream, __: bytes) -> None:
        began.set()

    code = "import time; print('began', flush=True); time.sleep(600)"
    running = asyncio.create_task(
        orchestrator.execute_code(code, "ann", execution_id="victim", on_output=heard)
    )
    await began.wait()
    async with open_orchestrator(settings, maintain=False) as other:
        await until_named(other, "victim")
        inspection = await other.operations.inspect("victim")
        assert inspection.lockdown is not None
        assert inspection.lockdown.differences == ()
        population = await other.operations.population()
        assert [(one.execution_id, one.state) for one in population.sandboxes] == [("victim", "RUNNING")]
        assert await other.kill("victim")
    result = await running
    assert (result.warm, result.outcome, result.output) == (True, Outcome.KILLED, "began\n")


@pytest.mark.parametrize("how", ["kill", "remove"])
async def test_a_standby_that_dies_costs_a_cold_start(
    orchestrator: Orchestrator, docker_client: docker.DockerClient, data_dir: Path, how: str
) -> None:
    """The kernel's OOM killer or an operator ends it: the next execution starts cold and is no error."""
    await warm(orchestrator, "ann")
    container = await asyncio.to_thread(standby_of, docker_client, data_dir)
    if how == "kill":
        await asyncio.to_thread(container.kill)
    else:
        await asyncio.to_thread(container.remove, force=True)
    result = await orchestrator.execute_code("print(1)", "ann")
    assert (result.warm, result.outcome, result.output) == (False, Outcome.OK, "1\n")
    await warm(orchestrator, "ann")
    assert (await orchestrator.execute_code("print(2)", "ann")).warm


async def test_standbys_of_a_killed_process_are_reaped(
    orchestrator: Orchestrator, docker_client: docker.DockerClient, data_dir: Path
) -> None:
    """Kill -9 leaves a waiting container; whoever reaps next removes it and its inputs."""
    code = (
        "import asyncio, sys, pathlib\nfrom orchestrator import Settings, open_orchestrator\n"
        "async def main():\n"
        "    settings = Settings.load(data_dir=pathlib.Path(sys.argv[1]))\n"
        "    async with open_orchestrator(settings, maintain=False) as orchestrator:\n"
        "        print(await orchestrator.prewarm('ann'), flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, str(data_dir)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"True\n"
    await orchestrator.reap()
    container = await asyncio.to_thread(standby_of, docker_client, data_dir)
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    assert (await orchestrator.reap()).removed_containers == (container.id,)
    await orchestrator.reap()
    assert await asyncio.to_thread(os.listdir, data_dir / "staging") == []
