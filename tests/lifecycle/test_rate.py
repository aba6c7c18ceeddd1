"""An owner who asks too often is told when to come back, and nobody else notices."""

from datetime import datetime
from pathlib import Path

import pytest

from orchestrator import RateLimited, Refused, open_orchestrator
from orchestrator.lifecycle.rate import RateLimit
from tests.lifecycle.faulty import FaultyEngine, settings_for


class Counting:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        """Nobody asks."""
        raise NotImplementedError

    def monotonic(self) -> float:
        """As it was moved."""
        return self.seconds


def test_the_refusal_says_when_and_keeps_its_word() -> None:
    """A bucket of six fills by one every ten seconds; coming back as told is enough."""
    clock = Counting()
    rate = RateLimit(6, clock)
    for _ in range(6):
        rate.check("a")
        rate.count("a")
    with pytest.raises(RateLimited, match=r"6 executions in a minute .* try again in 10 s\.") as refused:
        rate.check("a")
    assert refused.value.retry_after == 10
    assert isinstance(refused.value, Refused)
    rate.check("b")
    clock.seconds += 9
    with pytest.raises(RateLimited, match="in 1 s"):
        rate.check("a")
    clock.seconds += 1
    rate.check("a")
    rate.count("a")
    with pytest.raises(RateLimited):
        rate.check("a")


def test_zero_means_any_number() -> None:
    """Nobody is counted."""
    rate = RateLimit(0, Counting())
    for _ in range(1000):
        rate.check("a")
        rate.count("a")


async def test_a_refused_request_leaves_no_row_and_no_place(data_dir: Path, engine: FaultyEngine) -> None:
    """The third within the minute is refused; the owner's neighbour is served."""
    settings = await settings_for(data_dir, rate_per_minute=2)
    async with open_orchestrator(settings, engine=engine, maintain=False) as orchestrator:
        for _ in range(2):
            assert (await orchestrator.execute_code("print(1)", "a")).success
        with pytest.raises(RateLimited, match="try again in"):
            await orchestrator.execute_code("print(1)", "a")
        assert (await orchestrator.execute_code("print(1)", "b")).success
        assert len(await orchestrator.list_executions()) == 3
        status = await orchestrator.get_interpreter_status()
        assert (status.running, status.queued) == (0, 0)
