"""A sandbox under guard ends when it must, and its output is read to the end."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from orchestrator.domain.limits import Limits
from orchestrator.domain.outcomes import ExitStatus, KillReason
from orchestrator.domain.sandbox import Mount, SandboxSpec, Stream
from orchestrator.engine.fake import FAKE_DIGEST
from orchestrator.errors import EngineFault
from orchestrator.lifecycle.listen import AHEAD
from orchestrator.lifecycle.report import Phases
from orchestrator.lifecycle.supervise import Control, Supervision
from tests.e2e.support import MovableClock
from tests.lifecycle.faulty import FaultyEngine, FaultySandbox, raising

SMALL = Limits(wall_seconds=20, output_keep=100, output_kill=10_000)


def line(code: str) -> bytes:
    """The runner's one request line."""
    return json.dumps({"code": code}).encode() + b"\n"


@pytest.fixture
async def sandbox(engine: FaultyEngine, tmp_path: Path) -> FaultySandbox:
    """One that is created and not started."""
    spec = SandboxSpec(
        execution_id="x",
        owner="o",
        uid=700_000,
        image=FAKE_DIGEST,
        runtime="runc",
        limits=SMALL,
        mounts=(Mount(source=tmp_path, target="/workspace", read_only=False),),
        instance="i",
    )
    made = await engine.create(spec)
    assert isinstance(made, FaultySandbox)
    return made


async def guarded(
    sandbox: FaultySandbox,
    code: str,
    limits: Limits = SMALL,
    listener: Callable[[Stream, bytes], Awaitable[None] | None] | None = None,
) -> tuple[ExitStatus, Supervision, Control]:
    """Run the code to its end under these limits."""
    control = Control()
    supervision = Supervision(sandbox, limits, control, listener)
    return await supervision.run(line(code)), supervision, control


async def test_a_good_end_has_no_reason(sandbox: FaultySandbox) -> None:
    """Nobody stopped it, and both streams are whole."""
    status, seen, control = await guarded(sandbox, "import sys; print('o'); print('e', file=sys.stderr)")
    assert (status.exit_code, control.reason) == (0, None)
    assert (seen.stdout.text(), seen.stderr.text()) == ("o\n", "e\n")


async def test_both_streams_together_have_one_limit(sandbox: FaultySandbox) -> None:
    """Neither stream passes it alone; the listener hears nothing past it, and the head is kept."""
    heard = 0

    def listen(_: Stream, piece: bytes) -> None:
        nonlocal heard
        heard += len(piece)

    code = "import os\nwhile True: os.write(1, b'o' * 100); os.write(2, b'e' * 100)"
    status, seen, control = await guarded(sandbox, code, listener=listen)
    assert (status.exit_code, control.reason) == (137, KillReason.OUTPUT)
    assert seen.stdout.total + seen.stderr.total > SMALL.output_kill >= heard
    assert seen.stdout.text().startswith("o" * 100 + "\n... ")


async def test_exactly_the_limit_is_no_offence(sandbox: FaultySandbox) -> None:
    """The limit itself may be printed."""
    status, seen, control = await guarded(sandbox, f"import os; os.write(1, b'x' * {SMALL.output_kill})")
    assert (status.exit_code, control.reason) == (0, None)
    assert seen.stdout.dropped == SMALL.output_kill - 200


async def test_a_slow_listener_hears_everything_in_order(sandbox: FaultySandbox) -> None:
    """It may lag behind the program, and behind its end; each piece is finished before the next one."""
    heard, inside = b"", 0

    async def listen(_: Stream, piece: bytes) -> None:
        nonlocal heard, inside
        inside += 1
        assert inside == 1
        await asyncio.sleep(0.01)
        heard += piece
        inside -= 1

    code = "import os\nfor n in range(60): os.write(1, b'%d;' % n * 20)"
    _, seen, _ = await guarded(sandbox, code, listener=listen)
    assert heard == b"".join(b"%d;" % n * 20 for n in range(60))
    assert seen.stdout.total == len(heard)


async def test_a_listener_far_behind_slows_the_program_and_not_the_memory(sandbox: FaultySandbox) -> None:
    """What piles up for it is bounded while the program runs; nothing of it is lost in the end."""
    most, heard, going = 0, 0, asyncio.Event()
    limits = Limits(wall_seconds=60, output_keep=100, output_kill=100_000_000)

    async def listen(_: Stream, piece: bytes) -> None:
        nonlocal heard
        await going.wait()
        heard += len(piece)

    control = Control()
    supervision = Supervision(sandbox, limits, control, listen)
    code = "import os\nfor n in range(80): os.write(1, b'x' * 100_000)"
    running = asyncio.create_task(supervision.run(line(code)))
    for _ in range(500):
        await asyncio.sleep(0.01)
        if supervision.stdout.total == most > AHEAD:
            break
        most = supervision.stdout.total
    assert AHEAD < most < 4 * AHEAD
    assert not running.done()
    going.set()
    assert (await running).exit_code == 0
    assert heard == supervision.stdout.total == 8_000_000


async def test_a_stuck_listener_is_left_behind_and_costs_nothing_of_the_result(
    sandbox: FaultySandbox,
) -> None:
    """It never returns; head, tail and count are exact all the same."""

    async def listen(_: Stream, __: bytes) -> None:
        await asyncio.Event().wait()

    limits = Limits(wall_seconds=60, output_keep=10, output_kill=100_000_000)
    flood = "for n in range(9): os.write(1, b'x' * 100_000)"
    code = f"import os\nos.write(1, b'head567890')\n{flood}\nprint('the tail')"
    async with asyncio.timeout(30):
        status, seen, _ = await guarded(sandbox, code, limits, listen)
    assert (status.exit_code, seen.stdout.total) == (0, 900_019)
    assert seen.stdout.text() == "head567890\n... 899999 bytes dropped ...\nxthe tail\n"


async def test_a_listener_that_fails_costs_itself_alone(sandbox: FaultySandbox) -> None:
    """At once or later: it hears no more, and the program goes on to its end."""
    heard = 0

    async def later(_: Stream, __: bytes) -> None:
        nonlocal heard
        heard += 1
        await asyncio.sleep(0)
        raise ValueError("its own")

    status, seen, _ = await guarded(sandbox, "for n in range(99): print(n, flush=True)", listener=later)
    assert (status.exit_code, heard) == (0, 1)
    assert seen.stdout.total == 287


async def test_time_is_up_for_a_program_that_ignores_signals(sandbox: FaultySandbox) -> None:
    """What ignores SIGTERM dies as well, and the reason is the time."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(30)"
    status, _, control = await guarded(sandbox, code, Limits(wall_seconds=0.3))
    assert (status.exit_code, control.reason) == (137, KillReason.TIMEOUT)


async def test_time_is_up_for_children_too(sandbox: FaultySandbox) -> None:
    """A child that holds the streams open does not hold up the end."""
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(30)'])"
    async with asyncio.timeout(8):
        status, _, control = await guarded(sandbox, code, Limits(wall_seconds=0.5))
    assert (status.exit_code, control.reason) == (137, KillReason.TIMEOUT)


async def test_a_stop_before_the_start_kills_at_once(sandbox: FaultySandbox) -> None:
    """Whoever was told to stop before it began does not run its code to the end."""
    control = Control()
    control.stop(KillReason.CANCEL)
    async with asyncio.timeout(5):
        status = await Supervision(sandbox, SMALL, control, None).run(line("import time; time.sleep(30)"))
    assert status.exit_code == 137


async def test_a_hand_over_that_fails_after_a_stop_is_a_death_and_no_fault(
    sandbox: FaultySandbox, engine: FaultyEngine
) -> None:
    """Killed before it had read its code, its exit code is the answer."""
    engine.at["hand_over"] = raising(EngineFault("It is gone: run it again."))
    control = Control()
    control.stop(KillReason.CANCEL)
    async with asyncio.timeout(5):
        status = await Supervision(sandbox, SMALL, control, None).run(line("print(1)"))
    assert (status.exit_code, control.reason) == (137, KillReason.CANCEL)


async def test_a_hand_over_that_fails_by_itself_kills_and_is_raised(
    sandbox: FaultySandbox, engine: FaultyEngine
) -> None:
    """No container waits for code that never comes."""
    engine.at["hand_over"] = raising(EngineFault("It is gone: run it again."))
    with pytest.raises(EngineFault, match="run it again"):
        await guarded(sandbox, "print(1)")
    async with asyncio.timeout(5):
        assert (await sandbox.wait()).exit_code == 137


def test_the_first_reason_given_stands() -> None:
    """Whoever stops it second does not rewrite why."""
    control = Control()
    control.stop(KillReason.OUTPUT)
    control.stop(KillReason.TIMEOUT)
    assert control.reason is KillReason.OUTPUT
    assert control.stopped.is_set()


class StepClock(MovableClock):
    """A monotonic clock on which every look takes one second more than the last."""

    def __init__(self) -> None:
        super().__init__()
        self.at, self.step = 100.0, 0.0

    def monotonic(self) -> float:
        """100 s, then 1, 2, 3 ... seconds later."""
        self.at += self.step
        self.step += 1
        return self.at


def test_each_phase_is_the_time_between_its_moments() -> None:
    """Queued, acquire, run and harvest are the differences, total everything up to the question."""
    clock = StepClock()
    phases = Phases(clock=clock, queued_at=clock.monotonic())
    for moment in (phases.claimed, phases.acquired, phases.died, phases.harvested):
        moment()
    timings = phases.timings()
    assert (timings.queued, timings.acquire, timings.run, timings.harvest) == (1, 2, 3, 4)
    assert timings.total == 15


def test_what_was_not_reached_lasted_no_time() -> None:
    """One that never left the queue was queued all the time, and nothing else."""
    clock = StepClock()
    timings = Phases(clock=clock, queued_at=clock.monotonic()).timings()
    assert (timings.queued, timings.total) == (1, 1)
    assert (timings.acquire, timings.run, timings.harvest) == (0, 0, 0)
