"""When a fresh run is a loss: on made-up figures, because the gate must not depend on this machine's mood."""

from typing import Any

import pytest

from orchestrator.bench.figures import Report
from orchestrator.bench.gate import TOLERANCE, committed_report, confirmed, losses
from orchestrator.bench.run import SCENARIOS


def report(value: float, name: str = "ours / theirs", unit: str = "ratio", **bound: float | bool) -> Report:
    """A report of one figure."""
    made = Report(machine={})
    made.state("made up", name, value, unit, **bound)  # type: ignore[arg-type]  # bounds by name
    return made


@pytest.mark.parametrize(
    ("before", "now", "bound", "is_lost"),
    [
        (0.5, 0.4, 0.75, False),  # better
        (0.5, 0.5 * TOLERANCE, None, False),  # just within noise
        (0.5, 0.51 * TOLERANCE, None, True),  # just outside
        (0.5, 0.74, 0.75, False),  # much worse, and still as promised
        (0.5, 0.76, 0.75, True),  # much worse, and the promise is gone
        (0.7, 0.8, 0.75, False),  # a promise missed within noise
        (0.8, 0.81, 0.75, False),  # missed before as well: no regression
    ],
)
def test_a_loss_is_worse_than_noise_and_than_the_promise(
    before: float, now: float, bound: float | None, is_lost: bool
) -> None:
    """Both have to be: a ratio within its promise is fine, and one busy run breaks nothing."""
    promised: dict[str, Any] = {} if bound is None else {"at_most": bound}
    found = losses(report(before, **promised), report(now, **promised))
    assert bool(found) is is_lost
    if is_lost:
        assert f"committed {before:.2f}" in str(found[0])


@pytest.mark.parametrize(("now", "is_lost"), [(2.0, False), (0.9, False), (0.7, True), (0.0, True)])
def test_where_more_is_better_less_is_the_loss(now: float, is_lost: bool) -> None:
    """Executions per second, say."""
    assert bool(losses(report(1.0, at_least=0.9), report(now, at_least=0.9))) is is_lost


def test_what_only_one_of_them_measured_says_nothing() -> None:
    """Peers are not always there, and scenarios come and go."""
    assert not losses(report(0.1, "ours / a peer"), report(9.0))
    assert not losses(report(0.1), Report(machine={}))


def test_absolute_figures_belong_to_a_machine() -> None:
    """A slower machine is no regression."""
    assert not losses(report(1.0, unit="ms", at_most=3), report(50.0, unit="ms", at_most=3))


def test_a_loss_must_be_seen_twice() -> None:
    """What the second measurement does not confirm was a busy moment."""
    before = report(0.5)
    first = losses(before, report(5.0))
    assert first
    assert confirmed(first, first) == list(first)
    assert not confirmed(first, losses(before, report(0.5)))


def test_the_committed_figures_are_of_scenarios_that_exist() -> None:
    """Otherwise the gate compares nothing; every promise about ratios that a run makes is among them."""
    committed = committed_report()
    titles = {scenario.title for scenario in SCENARIOS.values()}
    assert len(committed.ratios) > 5
    assert {each.scenario for each in committed.ratios} <= titles
    assert not losses(committed, committed)
