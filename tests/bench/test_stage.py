"""Fair turns, and the same container for everybody."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import docker
import pytest

from orchestrator.bench.bare import BareLoop
from orchestrator.bench.dockerrun import DockerRun, flags
from orchestrator.bench.figures import Report
from orchestrator.bench.peer import PeerFailed
from orchestrator.bench.stage import Stage
from orchestrator.engine.docker import DockerEngine
from orchestrator.engine.seccomp import security_option
from orchestrator.engine.verify import differences
from orchestrator.settings import Settings


class Silent:
    """Progress that nobody looks at, counted."""

    steps = taken = 0

    def begin(self, title: str, steps: int) -> None:
        """Note how many there will be."""
        self.steps += steps

    def step(self) -> None:
        """Note one."""
        self.taken += 1


@pytest.fixture
async def stage(data_dir: Path) -> Stage:
    """A stage over the shipped defaults."""
    settings = Settings(data_dir=data_dir)
    engine = await DockerEngine.connect(settings.image, settings.runtime, settings.docker_host)
    digest = (await engine.image()).digest
    await engine.close()
    return Stage(settings=settings, image=digest, report=Report(machine={}), runs=4, progress=Silent())


@pytest.fixture
def no_container_left(stage: Stage, docker_client: docker.DockerClient) -> Iterator[None]:
    """Whatever the bare loop makes is gone afterwards."""
    yield
    label = f"org.sandglass.instance={stage.instance}"
    assert not docker_client.containers.list(all=True, filters={"label": label})


async def test_turns_are_interleaved_and_nobody_is_always_first(stage: Stage) -> None:
    """Everybody works once uncounted, then as often as asked, and each has been first."""
    order: list[str] = []

    def contestant(name: str) -> Callable[[], Awaitable[float]]:
        async def work() -> float:
            order.append(name)
            return float(len(order))

        return work

    seconds = await stage.rounds("made up", {name: contestant(name) for name in "abc"})
    assert len(order) == 15
    rounds = [order[start : start + 3] for start in range(0, 15, 3)]
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert {each[0] for each in rounds} == {"a", "b", "c"}
    assert {name: len(each) for name, each in seconds.items()} == {"a": 4, "b": 4, "c": 4}
    assert min(min(each) for each in seconds.values()) == 4, "the first round counts for nobody"
    assert isinstance(stage.progress, Silent)
    assert stage.progress.steps == stage.progress.taken == 15


async def test_a_peer_that_fails_in_the_middle_is_out(stage: Stage) -> None:
    """With the reason and without a figure; the others work on."""
    worked = 0

    async def steady() -> float:
        return 1.0

    async def weak() -> float:
        nonlocal worked
        worked += 1
        if worked > 2:
            raise PeerFailed("it fell over")
        return 1.0

    seconds = await stage.rounds("made up", {"steady": steady, "weak": weak})
    assert seconds.keys() == {"steady"}
    assert len(seconds["steady"]) == 4
    (missing,) = stage.report.unmeasured
    assert (missing.name, missing.reason) == ("weak", "in round 2: it fell over")


async def test_docker_run_gets_the_flags_of_our_lockdown(
    stage: Stage, docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    """The engine sees the same container, but for labels, name and what the command line cannot say."""
    spec = await stage.spec("flags")
    profile = tmp_path / "seccomp.json"
    profile.write_text(security_option().removeprefix("seccomp="))
    command = ["docker", "create", *flags(spec, str(profile)), stage.image]
    command.remove("--rm")
    identifier = (await _output(command)).strip()
    try:
        inspected = docker_client.api.inspect_container(identifier)
        image = docker_client.images.get(stage.image).attrs["Config"]
        found = {each.split()[0] for each in differences(inspected, spec, image)}
    finally:
        docker_client.api.remove_container(identifier, force=True)
    assert found <= {
        "Name",
        "Config.Labels",
        "Config.NetworkDisabled",
        "Config.Cmd",
        "HostConfig.SecurityOpt",
    }


async def test_docker_run_runs_our_runner(stage: Stage) -> None:
    """The same program, by the same entry point; a wrong answer is an error, not a figure."""
    assert await (await DockerRun.on(stage)).timed("print(6 * 7)", b"42\n") > 0


@pytest.mark.usefixtures("no_container_left")
async def test_the_bare_loop_runs_cold_and_warm(stage: Stage) -> None:
    """Its moments are in order, and its container is gone."""
    bare = BareLoop(None)
    try:
        for warm in (False, True):
            bout = await bare.run(await stage.spec("bout", warm=warm), "print(6 * 7)")
            assert bout.output == b"42\n"
            assert list(bout.moments.values()) == sorted(bout.moments.values())
            assert ("ready" in bout.moments) is warm
    finally:
        await bare.close()


@pytest.mark.usefixtures("no_container_left")
async def test_a_held_container_waits_until_it_is_let_go(
    stage: Stage, docker_client: docker.DockerClient
) -> None:
    """It said its line and runs; the number of its process is the host's."""
    bare = BareLoop(None)
    said = ["/usr/bin/python3", "-c", "print('here', flush=True); input()"]
    try:
        async with bare.held(await stage.spec("held"), b"here\n", Entrypoint=said, Cmd=[]) as identifier:
            assert docker_client.containers.get(identifier).status == "running"
            state = docker_client.api.inspect_container(identifier)["State"]
            assert await bare.pid(identifier) == state["Pid"] > 1
    finally:
        await bare.close()


async def _output(command: list[str]) -> str:
    import asyncio

    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode()
