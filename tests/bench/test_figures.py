"""The benchmark's own arithmetic: what it reports must follow from what it measured."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.bench.figures import RATIO, Figure, Report, Samples

SECONDS = st.lists(st.floats(0.001, 100), min_size=1, max_size=60)


def samples(seconds: list[float], name: str = "x") -> Samples:
    """Samples of a made-up scenario."""
    return Samples(scenario="made up", name=name, seconds=seconds)


def report(ours: list[float], theirs: list[float], bound: float | None) -> Report:
    """A report of one comparison."""
    report = Report(machine={"cores": "2", "kernel": "6.1"})
    report.compare(report.add("made up", "ours", ours), report.add("made up", "theirs", theirs), bound)
    return report


@pytest.mark.parametrize("percent", [95, 99])
@given(SECONDS)
def test_the_percentiles_are_of_the_samples(percent: int, seconds: list[float]) -> None:
    """Each is the smallest sample that so many in a hundred do not exceed."""
    found = samples(seconds).percentile(percent)
    assert found in seconds
    assert 100 * sum(each <= found for each in seconds) >= percent * len(seconds)
    assert all(
        100 * sum(each <= smaller for each in seconds) < percent * len(seconds)
        for smaller in seconds
        if smaller < found
    )


@given(SECONDS, st.randoms())
def test_the_order_of_the_samples_means_nothing(seconds: list[float], random: Any) -> None:
    """Shuffled, they have the same figures, and those are in order."""
    shuffled = list(seconds)
    random.shuffle(shuffled)
    one, other = samples(seconds), samples(shuffled)
    assert (one.p50, one.p95, one.p99) == (other.p50, other.p95, other.p99)
    assert min(seconds) <= one.p50 <= one.p95 <= one.p99 <= max(seconds)


def test_the_median_of_an_even_number_lies_between() -> None:
    """Two samples in the middle count half each, and one slow run moves nothing."""
    assert samples([4, 1, 2, 100]).p50 == 3


@given(SECONDS, SECONDS, st.floats(0.1, 10))
def test_a_promise_is_about_the_medians(ours: list[float], theirs: list[float], bound: float) -> None:
    """The ratio is ours over theirs, and is kept up to the bound."""
    found = report(ours, theirs, bound)
    (ratio,) = found.ratios
    assert ratio.value == found.samples[0].p50 / found.samples[1].p50
    assert ratio.kept is (ratio.value <= bound)
    assert [each.name for each in found.samples] == ["ours", "theirs"]


@pytest.mark.parametrize(
    ("value", "at_least", "kept"),
    [(0.89, False, True), (0.9, False, True), (0.91, False, False), (0.89, True, False), (0.9, True, True)],
)
def test_the_bound_itself_is_kept(value: float, at_least: bool, kept: bool) -> None:
    """At most means at most, at least means at least."""
    assert Figure(scenario="s", name="x", value=value, bound=0.9, at_least=at_least).kept is kept


def test_worse_is_the_other_way_where_more_is_better() -> None:
    """Twice the time is twice as bad, and so is half the speed."""
    assert Figure(scenario="s", name="x", value=2).worse_than(1) == 2
    assert Figure(scenario="s", name="x", value=1, at_least=True).worse_than(2) == 2
    assert Figure(scenario="s", name="x", value=0, at_least=True).worse_than(2) == float("inf")


def test_a_missed_promise_is_not_hidden() -> None:
    """The table says MISSED beside it, and not beside one that was kept, or never made."""
    assert "| ours / theirs | 2.00 | MISSED <= 1.5 |" in report([2.0], [1.0], 1.5).as_markdown()
    assert "MISSED" not in report([1.5], [1.0], 1.5).as_markdown()
    assert "MISSED" not in report([9.9], [1.0], None).as_markdown()


def test_the_tables_have_ratios_first_and_every_sample_once() -> None:
    """Then absolute figures and what was not measured, the machine, and milliseconds with how many."""
    made = report([0.1, 0.3, 0.2], [0.05], 5)
    made.state("made up", "speed", 12.34, "MB/s", at_least=10)
    made.miss("made up", "a peer", "it could not be installed")
    text = made.as_markdown()
    assert "| made up | ours | 3 | 200.0 | 300.0 | 300.0 |\n| made up | theirs | 1 | 50.0" in text
    order = [
        "| ours / theirs | 4.00 | <= 5 |",
        "| speed | 12.3 MB/s | >= 10 |",
        "Not measured: made up, a peer",
    ]
    order += ["cores 2, kernel 6.1", "p50 ms"]
    places = [text.index(each) for each in order]
    assert places == sorted(places)


@given(SECONDS, SECONDS)
def test_the_json_has_everything_to_check_the_figures(ours: list[float], theirs: list[float]) -> None:
    """Every sample is there, so anybody can compute the ratio again; and a report can be read back."""
    made = report(ours, theirs, 1)
    made.state("made up", "rate", 3, "per second", more_is_better=True)
    made.miss("made up", "a peer", "it could not be installed")
    found = json.loads(made.as_json())
    assert found.keys() == {"machine", "ratios", "absolute", "samples", "not_measured"}
    assert [each["seconds"] for each in found["samples"]] == [
        pytest.approx(ours, abs=1e-6),
        pytest.approx(theirs, abs=1e-6),
    ]
    (ratio,) = found["ratios"]
    assert ratio["unit"] == RATIO
    assert ratio["value"] == found["samples"][0]["p50"] / found["samples"][1]["p50"]
    again = Report.from_json(made.as_json())
    assert again.figures == made.figures
    assert again.unmeasured == made.unmeasured
    assert again.summary() == made.summary()
