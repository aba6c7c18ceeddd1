"""Where the time of a `print(1)` goes: the engine's steps by themselves, and ours around them."""

from collections.abc import Callable, Mapping, Sequence

from orchestrator.bench.bare import BareLoop, Bout
from orchestrator.bench.ours import Ours
from orchestrator.bench.stage import Contestant, Stage

SCENARIO = "anatomy of print(1)"
_SCIENCE = (
    "import os; os.write(1, b'imports')\nimport numpy, pandas, matplotlib.pyplot\nos.write(1, b'done')\n"
)
_ALONE = ["/usr/bin/tini", "--", "/usr/bin/python3", "-I", "-B", "-u", "-c", "print(1)"]

ENGINE_STEPS = (
    ("create", "begin", "created"),
    ("attach", "created", "attached"),
    ("start", "attached", "started"),
    ("interpreter and runner, up to the first byte", "handed over", "first byte"),
    ("exit, up to the end of the output", "last byte", "end of output"),
    ("wait", "end of output", "waited"),
    ("inspect", "waited", "inspected"),
    ("remove", "inspected", "removed"),
)
OUR_STEPS = (
    ("admission, row, claim, staging", "call", "create"),
    ("create, verify and attach", "create", "create done"),
    ("survey of the workspace and the row", "create done", "start"),
    ("start", "start", "start done"),
    ("hand-over", "start done", "hand over done"),
    ("interpreter, runner, program", "hand over done", "first byte"),
    ("exit, wait and inspect", "first byte", "wait done"),
    ("drain, harvest and commit", "wait done", "result"),
)

WARM_STEPS = (
    ("admission, row, claim, inputs", "call", "hand over"),
    ("hand-over", "hand over", "hand over done"),
    ("program, up to the first byte", "hand over done", "first byte"),
    ("exit, wait and inspect", "first byte", "wait done"),
    ("drain, harvest and commit", "wait done", "result"),
)


async def measure_anatomy(stage: Stage) -> None:
    """Add a row for every step; nothing is promised of one."""
    bare = BareLoop(stage.settings.docker_host)
    try:
        async with Ours.opened(stage) as ours:
            rows = await _measured(stage, bare, ours)
    finally:
        await bare.close()
    for name, seconds in rows.items():
        stage.report.add(SCENARIO, name, seconds[-stage.runs :])


async def _measured(stage: Stage, bare: BareLoop, ours: Ours) -> Mapping[str, Sequence[float]]:
    rows: dict[str, list[float]] = {}

    def note(
        prefix: str, steps: Sequence[tuple[str, str, str]], between: Callable[[str, str], float]
    ) -> None:
        for name, earlier, later in steps:
            rows.setdefault(f"{prefix}: {name}", []).append(between(earlier, later))

    def contestant(
        prefix: str, code: str, steps: Sequence[tuple[str, str, str]], **other: object
    ) -> Contestant:
        async def run() -> float:
            bout: Bout = await bare.run(await stage.spec("anatomy"), code, **other)
            note(prefix, steps, bout.between)
            return bout.between("begin", "inspected")

        return run

    async def cold() -> float:
        seconds = await ours.cold("print(1)", "1\n")
        note("Sandglass cold", OUR_STEPS, ours.timeline.between)
        return seconds

    async def warm() -> float:
        seconds = await ours.warm("print(1)", "1\n")
        note("Sandglass warm", WARM_STEPS, ours.timeline.between)
        return seconds

    alone = [("interpreter alone, up to the first byte", "started", "first byte")]
    imports = [("the imports", "first byte", "last byte"), ("exit after them", "last byte", "end of output")]
    contestants = {
        "bare": contestant("engine", "print(1)", ENGINE_STEPS),
        "alone": contestant("engine", "", alone, Entrypoint=_ALONE),
        "imports": contestant("engine", _SCIENCE, imports),
        "cold": cold,
    }
    if await ours.has_standbys():
        contestants["warm"] = warm
    await stage.rounds(SCENARIO, contestants)
    return rows
