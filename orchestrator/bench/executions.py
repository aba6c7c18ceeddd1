"""Whole executions: ours cold and warm, `docker run`, the bare engine and the peers, in turn."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from orchestrator.bench.bare import BareLoop
from orchestrator.bench.dockerrun import DockerRun
from orchestrator.bench.figures import RATIO, Samples
from orchestrator.bench.ours import COLD, WARM, Ours
from orchestrator.bench.peer import Peer, PeerFailed
from orchestrator.bench.stage import Contestant, Stage
from orchestrator.errors import ConfigurationError

DOCKER_RUN = "docker run"
ENGINE = "the engine on a prepared container"
KEPT = ", container kept"
_WHOLE_RUNS = 3
"""Two peers wait ten seconds for a shell to end, so this is not done often."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """What everybody runs, and what was promised of it."""

    scenario: str
    code: str
    expected: str
    cold: float | None = None
    """At most this share of `docker run`."""
    warm_of_engine: float | None = None
    """At most this many times the engine's own time."""
    cold_of_peer: float | None = None
    warm_seconds: float | None = None
    peers_of_warm: float | None = None
    """The fastest peer takes at least this many times as long as a standby."""
    first_byte: float | None = None
    with_peers: bool = True
    fewer: int = 1
    """One round in so many: nothing is promised of it, and the whole must not take a quarter of an hour."""


PRINT = Program(
    scenario="print(1)",
    code="print(1)",
    expected="1\n",
    cold=0.75,
    warm_of_engine=1.25,
    cold_of_peer=1.0,
    first_byte=0.003,
)
SCIENCE = Program(
    scenario="numpy, pandas, pyplot, describe",
    code="import numpy, pandas, matplotlib.pyplot\nprint(pandas.DataFrame({'a': [1, 2, 3]}).describe())",
    expected="mean",
    cold=0.95,
    warm_seconds=0.120,
    peers_of_warm=10.0,
)
PLOT = Program(
    scenario="a plot, kept as PNG",
    code="import matplotlib.pyplot as plt\nplt.plot(range(100))\nplt.title('bench')\nprint('drawn')",
    expected="drawn",
    with_peers=False,
    fewer=2,
)


async def measure_executions(stage: Stage, program: Program) -> None:
    """Run the program by everybody in turn and state the ratios."""
    bare = BareLoop(stage.settings.docker_host)
    try:
        async with Ours.opened(stage) as ours:
            contestants = await _contestants(stage, program, ours, bare)
            seconds = await stage.rounds(program.scenario, contestants, max(1, stage.runs // program.fewer))
            samples = {name: stage.report.add(program.scenario, name, each) for name, each in seconds.items()}
            if WARM in samples:
                _state_warm(stage, program, ours, samples)
    finally:
        await bare.close()
    _state_cold(stage, program, samples)
    await _until_gone(stage, program)


async def _contestants(
    stage: Stage, program: Program, ours: Ours, bare: BareLoop
) -> Mapping[str, Contestant]:
    code, expected = program.code, program.expected
    contestants: dict[str, Contestant] = {COLD: partial(ours.cold, code, expected)}
    try:
        contestants[DOCKER_RUN] = partial((await DockerRun.on(stage)).timed, code, expected.encode())
    except ConfigurationError as error:
        stage.report.miss(program.scenario, DOCKER_RUN, str(error))
    if await ours.has_standbys():
        contestants[WARM] = partial(ours.warm, code, expected)
        contestants[ENGINE] = partial(_on_prepared, stage, bare, code)
    else:
        stage.report.miss(program.scenario, WARM, "no standby became ready; are they switched off?")
    for peer in stage.peers.values() if program.with_peers else ():
        await _add_peer(stage, program, peer, contestants)
    return contestants


async def _add_peer(stage: Stage, program: Program, peer: Peer, contestants: dict[str, Contestant]) -> None:
    for do, name in (("answer", peer.name), ("kept", peer.name + KEPT)):
        if do in peer.does:
            try:
                await peer.timed(do, program.code, program.expected)
            except PeerFailed as error:
                stage.report.miss(program.scenario, name, str(error))
            else:
                contestants[name] = partial(peer.timed, do, program.code, program.expected)


async def _on_prepared(stage: Stage, bare: BareLoop, code: str) -> float:
    """From writing the code to `wait` returning, on a container that waits warm."""
    bout = await bare.run(await stage.spec("prepared", warm=True), code)
    return bout.between("ready", "waited")


def _state_cold(stage: Stage, program: Program, samples: Mapping[str, Samples]) -> None:
    if DOCKER_RUN in samples:
        stage.report.compare(samples[COLD], samples[DOCKER_RUN], program.cold)
    for name in _fresh(stage, samples):
        stage.report.compare(samples[COLD], samples[name], program.cold_of_peer)


def _state_warm(stage: Stage, program: Program, ours: Ours, samples: Mapping[str, Samples]) -> None:
    report, scenario, warm = stage.report, program.scenario, samples[WARM]
    report.compare(warm, samples[ENGINE], program.warm_of_engine)
    if program.warm_seconds is not None:
        report.state(scenario, WARM, warm.p50 * 1e3, "ms", at_most=program.warm_seconds * 1e3)
    for kind, names in (("peer", _fresh(stage, samples)), ("kept container", _kept(samples))):
        if names:
            fastest = min(samples[name].p50 for name in names)
            bound = program.peers_of_warm if kind == "peer" else None
            name = f"fastest {kind} / {WARM}"
            report.state(scenario, name, fastest / warm.p50, RATIO, at_least=bound, more_is_better=True)
    first = report.add(
        scenario, "first byte after hand-over", ours.first_byte_after_hand_over[-len(warm.seconds) :]
    )
    report.add(scenario, "first byte after the call", ours.first_byte_after_call[-len(warm.seconds) :])
    report.add(scenario, "prewarm", ours.prewarm[-len(warm.seconds) :])
    if program.first_byte is not None:
        report.state(scenario, first.name, first.p50 * 1e3, "ms", at_most=program.first_byte * 1e3)


def _fresh(stage: Stage, samples: Mapping[str, Samples]) -> Sequence[str]:
    """The peers that made a container for it, as we do."""
    return [name for name in stage.peers if name in samples]


def _kept(samples: Mapping[str, Samples]) -> Sequence[str]:
    """The peers in a container that had run other code before, which we never do."""
    return [name for name in samples if name.endswith(KEPT)]


async def _until_gone(stage: Stage, program: Program) -> None:
    """What the peers take until their container is gone: for the record, it is compared with nothing."""
    if program.scenario != PRINT.scenario:
        return
    for peer in stage.peers.values():
        with suppress(PeerFailed):  # it was told above
            stage.progress.begin(f"{peer.name} until its container is gone", _WHOLE_RUNS)
            seconds = []
            for _ in range(_WHOLE_RUNS):
                seconds.append(await peer.timed("whole", program.code, program.expected))
                stage.progress.step()
            stage.report.add(program.scenario, f"{peer.name} until its container is gone", seconds)
