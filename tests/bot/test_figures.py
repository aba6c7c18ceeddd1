"""The verdicts of the benchmark and of the soak: what is measured and too much fails."""

from typing import Any

import pytest

from tests.bot.bench import broken
from tests.bot.soak import MIB, Soak

GOOD: dict[str, Any] = {
    "rounds": 40,
    "warm": 20,
    "ours_ms": {"p50": 150.0, "p95": 900.0},
    "stop_to_dead_ms": {"p50": 2000.0, "p95": 5000.0},
}


def soaked(*quarters: float, asked: int = 10, answered: int = 10, caused: tuple[str, ...] = ()) -> Soak:
    """So many MiB in each quarter of the time."""
    memory = [int(each * MIB) for each in quarters for _ in range(10)]
    return Soak(asked=asked, answered=answered, memory=memory, caused=list(caused))


@pytest.mark.parametrize(
    ("changed", "complaints"),
    [
        ({}, []),
        ({"warm": 19}, ["half of the rounds were not warm"]),
        ({"ours_ms": {"p50": 150.1}}, ["ours takes too long"]),
        ({"stop_to_dead_ms": {"p50": 9000.0}}, ["a stop takes too long"]),
        ({"ours_ms": {}, "warm": 0}, ["half of the rounds were not warm", "ours takes too long"]),
        ({"stop_to_dead_ms": {}}, ["a stop takes too long"]),
    ],
)
def test_a_benchmark_that_breaks_a_promise_fails(changed: dict[str, Any], complaints: list[str]) -> None:
    """At the bound it is kept; a figure that is missing is a broken promise."""
    assert broken({**GOOD, **changed}) == complaints


@pytest.mark.parametrize(
    ("found", "complaints"),
    [
        (soaked(100, 200, 210, 220), []),
        (soaked(300, 200, 190, 180), []),
        (soaked(100, 200, 210, 221), ["the memory grows"]),
        (soaked(100, 400, 900, 4_000), ["the memory grows"]),
        (soaked(200, 200, 200, 200, answered=9), ["turns were lost"]),
        (soaked(200, 200, 200, 200, caused=("POST /x",)), ["we caused 429s"]),
        (Soak(asked=1, answered=1, memory=[MIB]), ["the memory was not measured"]),
        (Soak(), ["nobody asked", "the memory was not measured"]),
    ],
)
def test_a_soak_that_breaks_a_promise_fails(found: Soak, complaints: list[str]) -> None:
    """A tenth more in the last quarter than in the second is as flat as a process is."""
    assert found.broken() == complaints
    assert len(found.figures()) == 6


def test_a_quarter_is_a_quarter_of_the_time() -> None:
    """Also where the number of looks is no multiple of four: the last look is in the last one."""
    found = Soak(memory=[MIB, MIB, 2 * MIB, 3 * MIB, 3 * MIB, 4 * MIB, 4 * MIB])
    assert [found.quarter(number) for number in range(4)] == [1.0, 1.5, 3.0, 4.0]
