"""Many requests at once, two processes over one data directory, and the way out of both."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator import Orchestrator, Outcome, open_orchestrator
from orchestrator.domain.sandbox import SandboxSpec
from orchestrator.domain.states import ExecutionState as State
from orchestrator.errors import (
    EngineFault,
    EngineUnavailable,
    ExecutionNotFound,
    InvalidRequest,
    QueueFull,
)
from orchestrator.lifecycle.slots import Slots, Ticket
from tests.lifecycle.faulty import (
    DEAD,
    FaultyEngine,
    leave_row,
    raising,
    rows,
    settings_for,
    until_queued,
    until_state,
)

SLEEP = "import time; print('begun', flush=True); time.sleep(30)"


class Watch:
    """Counts who is between creation and death at once."""

    def __init__(self, engine: FaultyEngine, *others: FaultyEngine) -> None:
        self.most = 0
        self.overlaps: list[str] = []
        self._inside: list[str] = []
        for each in (engine, *others):
            each.at.update({"create": self._enter, "wait": self._leave})

    async def _enter(self, spec: SandboxSpec) -> None:
        if spec.owner in self._inside:
            self.overlaps.append(spec.owner)
        self._inside.append(spec.owner)
        self.most = max(self.most, len(self._inside))

    async def _leave(self, spec: SandboxSpec) -> None:
        self._inside.remove(spec.owner)


async def test_two_hundred_requests_of_twenty_owners_all_get_a_slot_once() -> None:
    """Never more than the slots, never one owner twice, each owner in order, in rounds."""
    slots = Slots(total=4, queue_limit=200)
    inside: list[str] = []
    served: list[tuple[str, int]] = []

    async def one(ticket: Ticket, owner: str, number: int) -> None:
        await ticket.granted.wait()
        assert owner not in inside
        inside.append(owner)
        assert len(inside) <= 4
        served.append((owner, number))
        await asyncio.sleep(0)
        inside.remove(owner)
        ticket.leave()

    tickets = [(slots.enter(f"o{n % 20}"), f"o{n % 20}", n // 20) for n in range(200)]
    async with asyncio.TaskGroup() as group:
        for ticket in tickets:
            group.create_task(one(*ticket))
    assert len(served) == 200
    for owner in {owner for owner, _ in served}:
        assert [number for of, number in served if of == owner] == list(range(10))
    rounds = [number for _, number in served]
    assert all(max(rounds[:at]) - number <= 1 for at, number in enumerate(rounds) if at)
    assert (slots.running, slots.queued) == (0, 0)


async def test_no_more_run_than_there_are_slots(data_dir: Path, engine: FaultyEngine) -> None:
    """Six owners and two slots: two at once, and all six get their answer."""
    watch = Watch(engine)
    settings = await settings_for(data_dir, slots=2)
    async with open_orchestrator(settings, engine=engine, maintain=False) as orchestrator:
        results = await asyncio.gather(*(orchestrator.execute_code(f"print({n})", n) for n in range(6)))
    assert [result.output for result in results] == [f"{n}\n" for n in range(6)]
    assert watch.most == 2


async def test_two_processes_never_run_one_owner_at_once(data_dir: Path) -> None:
    """The index, not the queue of a process, decides who is next in a workspace."""
    settings = await settings_for(data_dir)
    async with (
        FaultyEngine() as one,
        FaultyEngine() as two,
        open_orchestrator(settings, engine=one, maintain=False) as first,
        open_orchestrator(settings, engine=two, maintain=False) as second,
    ):
        watch = Watch(one, two)
        add = "f = open('n', 'a+'); f.seek(0); n = f.read(); f.truncate(0); f.write(str(int(n or 0) + 1))"
        both = [door.execute_code(add, "o") for door in (first, second) for _ in range(3)]
        results = await asyncio.gather(*both)
        assert all(result.success for result in results), results
        assert (len(one.created), len(two.created)) == (3, 3)
        assert (watch.overlaps, watch.most) == ([], 1)
        assert (data_dir / "workspaces" / "o" / "n").read_text() == "6"


async def test_a_full_queue_refuses_and_leaves_no_row(data_dir: Path, engine: FaultyEngine) -> None:
    """One runs, one waits, the third is told so at once; those that were admitted are not disturbed."""
    begun = asyncio.Event()
    settings = await settings_for(data_dir, slots=1, queue_limit=1)
    async with open_orchestrator(settings, engine=engine, maintain=False) as orchestrator:
        first = asyncio.create_task(
            orchestrator.execute_code(SLEEP, "a", execution_id="a", on_output=lambda *_: begun.set())
        )
        await begun.wait()
        second = asyncio.create_task(orchestrator.execute_code("print(2)", "b", execution_id="b"))
        await until_queued(orchestrator)
        with pytest.raises(QueueFull, match="1 executions wait"):
            await orchestrator.execute_code("print(3)", "c", execution_id="c")
        assert {row.execution_id for row in await orchestrator.list_executions()} <= {"a", "b"}
        assert await orchestrator.cancel("a")
        assert (await first).outcome is Outcome.CANCELLED
        assert (await second).output == "2\n"
        assert (await orchestrator.execute_code("print(3)", "c", execution_id="c")).success


async def test_everybody_can_ask_how_many_are_served_first(data_dir: Path, engine: FaultyEngine) -> None:
    """The process that queues and another one say the same; a place given up moves those behind it."""
    begun = asyncio.Event()
    settings = await settings_for(data_dir, slots=1)
    async with (
        open_orchestrator(settings, engine=engine, maintain=False) as here,
        open_orchestrator(settings, engine=engine, maintain=False) as elsewhere,
    ):
        run = here.execute_code
        tasks = [asyncio.create_task(run(SLEEP, "a", execution_id="a", on_output=lambda *_: begun.set()))]
        await begun.wait()
        for name in ("a2", "b", "b2", "c"):
            tasks.append(asyncio.create_task(run("print(2)", name[0], execution_id=name)))
            await until_state(here, name, State.QUEUED)
        for door in (here, elsewhere):
            waiting = {name: await door.position(name) for name in ("a", "b", "c", "a2", "b2")}
            assert waiting == {"a": 0, "b": 1, "c": 2, "a2": 3, "b2": 4}
            queue = (await door.operations.population()).queue
            assert [(one.execution_id, one.position) for one in queue] == [
                ("b", 1),
                ("c", 2),
                ("a2", 3),
                ("b2", 4),
            ]
        assert await here.cancel("b")
        await until_state(here, "b", State.CANCELLED)
        assert await here.position("c") <= 2
        with pytest.raises(ExecutionNotFound):
            await here.position("never-heard-of")
        await here.cancel("a")
        results = await asyncio.gather(*tasks)
        assert [result.outcome for result in results] == [
            Outcome.CANCELLED,
            Outcome.OK,
            Outcome.CANCELLED,
            Outcome.OK,
            Outcome.OK,
        ]
        assert await elsewhere.position("c") == 0


async def test_two_processes_share_the_slots_and_the_memory(data_dir: Path) -> None:
    """Each could run two by its own count; the index lets no more than two past their claim in all."""
    settings = await settings_for(data_dir, slots=2)
    async with (
        FaultyEngine() as one,
        FaultyEngine() as two,
        open_orchestrator(settings, engine=one, maintain=False) as first,
        open_orchestrator(settings, engine=two, maintain=False) as second,
    ):
        watch = Watch(one, two)
        runs = [door.execute_code("print(1)", f"{n}") for n in range(4) for door in (first, second)]
        results = await asyncio.gather(*runs)
        assert all(result.success for result in results)
        assert watch.most <= 2


async def test_an_id_that_another_process_used_is_refused_and_its_slot_given_back(
    orchestrator: Orchestrator,
) -> None:
    """The refusal comes from the index; the row that has the id is not changed."""
    await leave_row(orchestrator, "x", State.RUNNING, lease=timedelta(minutes=1))
    with pytest.raises(InvalidRequest, match="already used"):
        await orchestrator.execute_code("print(1)", "p", execution_id="x")
    row = await orchestrator.get_execution("x")
    assert (row.owner, row.state, row.lease_holder) == ("o", State.RUNNING, DEAD)
    assert (await orchestrator.get_interpreter_status()).running == 0
    assert (await orchestrator.execute_code("print(1)", "p")).success


async def test_leaving_ends_what_runs_and_what_waits_and_keeps_files(
    data_dir: Path, engine: FaultyEngine
) -> None:
    """A service that stops leaves no unfinished row, no process, and what was written so far."""
    begun = asyncio.Event()
    settings = await settings_for(data_dir, slots=1)
    async with open_orchestrator(settings, engine=engine, maintain=False) as orchestrator:
        runs = asyncio.create_task(
            orchestrator.execute_code(
                "open('kept.txt', 'w').write('x')\n" + SLEEP, "a", on_output=lambda *_: begun.set()
            )
        )
        await begun.wait()
        waits = asyncio.create_task(orchestrator.execute_code("print(2)", "b", execution_id="waits"))
        await until_queued(orchestrator)
        await orchestrator.close()
        assert engine.sandboxes == {}
        assert (await runs).outcome is Outcome.CANCELLED
        assert [file.path for file in (await runs).generated_files] == ["kept.txt"]
        assert (await waits).exit_code is None
        assert (await orchestrator.get_execution("waits")).state is State.CANCELLED
        assert await rows(orchestrator).unfinished() == []


async def test_a_fault_while_leaving_does_not_hang(data_dir: Path, engine: FaultyEngine) -> None:
    """The engine fails as the program is killed: the row is FAILED, and the door closes."""
    begun = asyncio.Event()
    settings = await settings_for(data_dir)
    async with open_orchestrator(settings, engine=engine, maintain=False) as orchestrator:
        engine.at["wait"] = raising(EngineFault("The engine went first: start it again."))
        runs = asyncio.create_task(
            orchestrator.execute_code(SLEEP, "a", execution_id="x", on_output=lambda *_: begun.set())
        )
        await begun.wait()
        async with asyncio.timeout(5):
            await orchestrator.close()
        with pytest.raises(EngineFault, match="went first"):
            await runs
        assert (await orchestrator.get_execution("x")).failure == "The engine went first: start it again."


async def test_maintenance_reaps_what_a_crash_left_once_there_is_work(
    data_dir: Path, engine: FaultyEngine
) -> None:
    """Nobody has to ask: the first execution wakes it, and the lost row is ended beside it."""
    async with open_orchestrator(await settings_for(data_dir), engine=engine) as orchestrator:
        await leave_row(orchestrator, "lost", State.PREPARING)
        assert (await orchestrator.execute_code("print(1)", "p")).success
        await until_state(orchestrator, "lost", State.LOST)


class MuteEngine(FaultyEngine):
    """Refuses its first surveys, as an engine does that is being restarted."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.refusals = refusals

    async def survey(self, instance: str):  # type: ignore[no-untyped-def]  # noqa: ANN201  # as its base says
        """Raise as often as told, then answer."""
        if self.refusals:
            self.refusals -= 1
            raise EngineUnavailable("No Docker Engine answers: start it.")
        return await super().survey(instance)


async def test_maintenance_outlives_an_engine_that_is_away(data_dir: Path) -> None:
    """A reap that fails is tried again half a lease later, and the lost row gets its end."""
    async with (
        MuteEngine(1) as engine,
        open_orchestrator(await settings_for(data_dir, lease_seconds=1.01), engine=engine) as orchestrator,
    ):
        await leave_row(orchestrator, "lost", State.PREPARING)
        await orchestrator.prewarm("p")
        await until_state(orchestrator, "lost", State.LOST)
        assert engine.refusals == 0


async def test_a_row_queued_by_another_process_can_be_cancelled_here(
    data_dir: Path, engine: FaultyEngine
) -> None:
    """Whichever door a cancel comes through, the one who waits gets the answer."""
    settings = await settings_for(data_dir, slots=1)
    begun = asyncio.Event()
    async with (
        open_orchestrator(settings, engine=engine, maintain=False) as first,
        open_orchestrator(settings, engine=engine, maintain=False) as second,
    ):
        runs = asyncio.create_task(
            first.execute_code(SLEEP, "o", execution_id="runs", on_output=lambda *_: begun.set())
        )
        await begun.wait()
        waits = asyncio.create_task(first.execute_code("print(2)", "o", execution_id="waits"))
        await until_queued(first)
        await until_state(first, "waits", State.QUEUED)
        assert await second.cancel("waits")
        assert await second.kill("runs")
        assert (await runs).outcome is Outcome.KILLED
        assert (await waits).outcome is Outcome.CANCELLED
        assert [spec.execution_id for spec in engine.created] == ["runs"]
        assert not await second.cancel("waits")
        assert not await second.cancel("never-heard-of")
