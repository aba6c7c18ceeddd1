"""The benchmark's own arithmetic: what it reports must follow from what it measured."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.bench.figures import Ratio, Report, Samples
from orchestrator.bench.timed import Stopwatch, TimedEngine
from orchestrator.domain.limits import Limits
from orchestrator.domain.sandbox import Mount, SandboxSpec, Stream
from orchestrator.engine.fake import FakeEngine

SECONDS = st.lists(st.floats(0.001, 100), min_size=1, max_size=60)


def report(ours: list[float], theirs: list[float], bound: float) -> Report:
    """A report of one comparison."""
    report = Report(machine={"cores": "2", "kernel": "6.1"})
    report.compare(Samples(name="ours", seconds=ours), Samples(name="theirs", seconds=theirs), bound)
    return report


@settings(deadline=None)
@given(SECONDS)
def test_the_percentiles_are_of_the_samples(seconds: list[float]) -> None:
    """The 95th is a sample that at least 95 in 100 do not exceed, and no less than the median."""
    samples = Samples(name="x", seconds=seconds)
    assert samples.p95 in seconds
    assert sum(each <= samples.p95 for each in seconds) >= 0.95 * len(seconds)
    assert min(seconds) <= samples.p50 <= samples.p95 <= max(seconds)


@settings(deadline=None)
@given(SECONDS, st.randoms())
def test_the_order_of_the_samples_means_nothing(seconds: list[float], random: Any) -> None:
    """Shuffled, they have the same figures."""
    shuffled = list(seconds)
    random.shuffle(shuffled)
    one, other = Samples(name="x", seconds=seconds), Samples(name="x", seconds=shuffled)
    assert (one.p50, one.p95) == (other.p50, other.p95)


def test_the_median_of_an_even_number_lies_between() -> None:
    """Two samples in the middle count half each, and one slow run moves nothing."""
    assert Samples(name="x", seconds=[4, 1, 2, 100]).p50 == 3


@settings(deadline=None)
@given(SECONDS, SECONDS, st.floats(0.1, 10))
def test_a_promise_is_about_the_medians(ours: list[float], theirs: list[float], bound: float) -> None:
    """The ratio is ours over theirs, and is kept up to the bound."""
    found = report(ours, theirs, bound)
    (ratio,) = found.ratios
    assert ratio.value == found.samples[0].p50 / found.samples[1].p50
    assert ratio.kept is (ratio.value <= bound)
    assert [each.name for each in found.samples] == ["ours", "theirs"]


@pytest.mark.parametrize(("value", "kept"), [(0.89, True), (0.9, True), (0.9001, False)])
def test_the_bound_itself_is_kept(value: float, kept: bool) -> None:
    """At most means at most."""
    assert Ratio(name="x", value=value, bound=0.9).kept is kept


def test_a_missed_promise_is_not_hidden() -> None:
    """The table says MISSED beside it, and not beside one that was kept."""
    assert "| ours / theirs | 2.00 | MISSED <= 1.5 |" in report([2.0], [1.0], 1.5).as_markdown()
    assert "MISSED" not in report([1.5], [1.0], 1.5).as_markdown()


def test_the_tables_show_every_sample_once() -> None:
    """Milliseconds, how many there were, and the machine at the end."""
    text = report([0.1, 0.3, 0.2], [0.05], 5).as_markdown()
    assert "| ours | 3 | 200.0 | 300.0 |\n| theirs | 1 | 50.0 | 50.0 |\n" in text
    assert text.endswith("\n\ncores 2, kernel 6.1\n")


@settings(deadline=None)
@given(SECONDS, SECONDS)
def test_the_json_has_everything_to_check_the_figures(ours: list[float], theirs: list[float]) -> None:
    """Every sample is there, so anybody can compute the ratio again."""
    found = json.loads(report(ours, theirs, 1).as_json())
    assert found.keys() == {"machine", "ratios", "samples"}
    assert [each["seconds"] for each in found["samples"]] == [ours, theirs]
    assert [each["n"] for each in found["samples"]] == [len(ours), len(theirs)]
    (ratio,) = found["ratios"]
    assert ratio["value"] == found["samples"][0]["p50"] / found["samples"][1]["p50"]
    assert ratio["kept"] is (ratio["value"] <= ratio["bound"])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=10), st.integers(0, 80))
def test_overlapping_waits_count_once(spans: list[tuple[int, int]], until: int) -> None:
    """The seconds covered are those in any interval, up to the moment asked about."""
    stopwatch = Stopwatch()
    stopwatch._intervals = [(float(began), float(began + length)) for began, length in spans]
    covered = {second for began, length in spans for second in range(began, min(began + length, until))}
    assert stopwatch.take(until) == len(covered)
    assert stopwatch.take(until) == 0


def test_a_wait_within_a_wait_is_one() -> None:
    """Nested intervals cover the outer one, even when the inner fails."""
    stopwatch, began = Stopwatch(), time.perf_counter()
    with stopwatch.running():
        with pytest.raises(ZeroDivisionError), stopwatch.running():
            _ = 1 / 0
        time.sleep(0.01)
    ended = time.perf_counter()
    assert 0.01 <= stopwatch.take(ended) <= ended - began


async def test_the_timed_engine_passes_everything_on(tmp_path: Path) -> None:
    """An execution is the same through it, and the waiting was noted."""
    stopwatch = Stopwatch()
    async with FakeEngine(without_isolation=True) as fake:
        engine = TimedEngine(fake, stopwatch)
        spec = SandboxSpec(
            execution_id="e1",
            owner="7",
            uid=700_007,
            image=(await engine.image()).digest,
            runtime="runc",
            limits=Limits(),
            mounts=(Mount(source=tmp_path, target="/workspace", read_only=False),),
            instance="here",
        )
        sandbox = await engine.create(spec)
        assert [each.container_id for each in await engine.survey("here")] == [sandbox.container_id]
        await sandbox.start()
        await sandbox.hand_over(b'{"code": "print(1)"}\n')
        pieces = [piece async for piece in sandbox.output()]
        assert {stream for stream, _ in pieces} == {Stream.STDOUT}
        assert b"".join(data for _, data in pieces) == b"1\n"
        assert (await sandbox.wait()).exit_code == 0
        assert len(stopwatch._intervals) == 4
        assert stopwatch.take(time.perf_counter()) > 0
        await engine.kill(sandbox.container_id)
        await engine.remove(sandbox.container_id)
        await sandbox.remove()
        assert await engine.survey("here") == ()
