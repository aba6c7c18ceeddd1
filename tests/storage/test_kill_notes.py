"""A kill is noted once, before it happens, and only for what can still be killed."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest

from orchestrator.domain.outcomes import KillReason
from orchestrator.domain.results import ExecutionRequest
from orchestrator.domain.states import TRANSITIONS
from orchestrator.domain.states import ExecutionState as State
from orchestrator.errors import IllegalTransition, LeaseLost
from orchestrator.storage.executions import SqlExecutions
from tests.storage.moved_clock import MovedClock

PATH = (State.PREPARING, State.RUNNING, State.HARVESTING)
PAIRS = [(old, new) for old in State for new in State]


async def _bring(executions: SqlExecutions, clock: MovedClock, state: State) -> None:
    """A row `e1` in `state`, held by "us"."""
    until = clock.now() + timedelta(seconds=30)
    await executions.add("e1", ExecutionRequest(code="1", owner="ann"), holder="us", until=until)
    if state is State.QUEUED:
        return
    if state is State.CANCELLED:
        await executions.move("e1", State.QUEUED, State.CANCELLED, holder="us")
        return
    assert await executions.claim("e1", holder="us", until=until, image="sha256:1", runtime="runc")
    for old, new in pairwise(PATH):
        if old is state:
            return
        await executions.move("e1", old, new, holder="us")


@pytest.mark.parametrize("reason", list(KillReason))
async def test_every_reason_comes_back(
    executions: SqlExecutions, clock: MovedClock, reason: KillReason
) -> None:
    """What was noted is what stands."""
    await _bring(executions, clock, State.RUNNING)
    assert await executions.kill_noted("e1") is None
    assert await executions.note_kill("e1", reason) is True
    assert await executions.kill_noted("e1") is reason


@pytest.mark.parametrize(
    ("state", "killable"),
    [
        (State.QUEUED, False),
        (State.PREPARING, True),
        (State.RUNNING, True),
        (State.HARVESTING, False),
        (State.CANCELLED, False),
    ],
)
async def test_only_what_is_under_way_can_be_noted(
    executions: SqlExecutions, clock: MovedClock, state: State, *, killable: bool
) -> None:
    """What waits is cancelled instead, and what has stopped is past killing."""
    await _bring(executions, clock, state)
    assert await executions.note_kill("e1", KillReason.OPERATOR) is killable
    assert await executions.kill_noted("e1") == (KillReason.OPERATOR if killable else None)


async def test_the_first_reason_stands(executions: SqlExecutions, clock: MovedClock) -> None:
    """A later kill does not rewrite why it died."""
    await _bring(executions, clock, State.RUNNING)
    assert await executions.note_kill("e1", KillReason.TIMEOUT) is True
    assert await executions.note_kill("e1", KillReason.OPERATOR) is False
    assert await executions.note_kill("e1", KillReason.TIMEOUT) is False
    assert await executions.kill_noted("e1") is KillReason.TIMEOUT


async def test_of_many_killers_at_once_one_is_believed(executions: SqlExecutions, clock: MovedClock) -> None:
    """The index decides whose reason it is, and the row has that one."""
    await _bring(executions, clock, State.RUNNING)
    reasons = list(KillReason) * 3
    noted = await asyncio.gather(*(executions.note_kill("e1", reason) for reason in reasons))
    assert noted.count(True) == 1
    assert await executions.kill_noted("e1") is reasons[noted.index(True)]


async def test_a_noted_kill_keeps_it_from_starting(executions: SqlExecutions, clock: MovedClock) -> None:
    """A kill that comes while it is prepared is not overtaken by its start."""
    await _bring(executions, clock, State.PREPARING)
    assert await executions.note_kill("e1", KillReason.CANCEL)
    with pytest.raises(LeaseLost):
        await executions.move("e1", State.PREPARING, State.RUNNING, holder="us")
    assert (await executions.get("e1")).state is State.PREPARING


async def test_a_noted_kill_does_not_keep_its_files_back(
    executions: SqlExecutions, clock: MovedClock
) -> None:
    """What it wrote before it was killed is harvested all the same, and the reason stays."""
    await _bring(executions, clock, State.RUNNING)
    await executions.note_kill("e1", KillReason.DISK)
    await executions.move("e1", State.RUNNING, State.HARVESTING, holder="us")
    assert await executions.kill_noted("e1") is KillReason.DISK


async def test_nobody_kills_what_never_was(executions: SqlExecutions, clock: MovedClock) -> None:
    """An unknown id is noted nowhere, whatever wildcard it holds."""
    await _bring(executions, clock, State.RUNNING)
    for unknown in ("e2", "%", "", "e1' OR 1=1 --"):
        assert await executions.note_kill(unknown, KillReason.OPERATOR) is False
        assert await executions.kill_noted(unknown) is None
    assert await executions.kill_noted("e1") is None


@pytest.mark.parametrize(("old", "new"), PAIRS)
async def test_a_move_is_an_edge_from_the_state_that_is(
    executions: SqlExecutions, clock: MovedClock, old: State, new: State
) -> None:
    """Of a running row only the edges out of RUNNING change anything; every other pair says why."""
    await _bring(executions, clock, State.RUNNING)
    if new not in TRANSITIONS[old]:
        with pytest.raises(IllegalTransition):
            await executions.move("e1", old, new, holder="us")
    elif old is not State.RUNNING:
        with pytest.raises(LeaseLost):
            await executions.move("e1", old, new, holder="us")
    else:
        await executions.move("e1", old, new, holder="us")
        assert (await executions.get("e1")).state is new
        return
    assert (await executions.get("e1")).state is State.RUNNING
