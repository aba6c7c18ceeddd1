"""Samples, medians, figures and the report of a benchmark; ratios first, for they travel between machines."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any, Self

RATIO = "ratio"


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """Seconds of one kind of work, repeated."""

    scenario: str
    name: str
    seconds: Sequence[float]

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.seconds)

    @property
    def p95(self) -> float:
        """The 95th percentile, by the nearest rank."""
        return self.percentile(95)

    @property
    def p99(self) -> float:
        """The 99th percentile, by the nearest rank."""
        return self.percentile(99)

    def percentile(self, percent: int) -> float:
        """The smallest sample that at least `percent` in a hundred do not exceed."""
        ordered = sorted(self.seconds)
        return ordered[max(0, ceil(percent * len(ordered) / 100) - 1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One number that was measured, and what was promised of it, if anything was."""

    scenario: str
    name: str
    value: float
    unit: str = RATIO
    bound: float | None = None
    at_least: bool = False
    """Whether more is better: the bound is then the least that was promised."""

    @property
    def kept(self) -> bool:
        """Whether the promise held in this run; true where none was made."""
        if self.bound is None:
            return True
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def worse_than(self, other: float) -> float:
        """How many times worse than another value of the same figure; below 1 is better."""
        better, worse = (self.value, other) if self.at_least else (other, self.value)
        return worse / better if better else float("inf") if worse else 1.0

    @property
    def shown(self) -> str:
        """The value as a table has it."""
        return f"{self.value:.2f}" if self.unit == RATIO else f"{self.value:.1f} {self.unit}"

    @property
    def promise(self) -> str:
        """The bound in words for a table."""
        if self.bound is None:
            return ""
        return f"{'' if self.kept else 'MISSED '}{'>=' if self.at_least else '<='} {self.bound:g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unmeasured:
    """What this run could not measure, and why: never a guess in its place."""

    scenario: str
    name: str
    reason: str


@dataclass(slots=True)
class Report:
    """What one run of the benchmark saw."""

    machine: Mapping[str, str]
    figures: list[Figure] = field(default_factory=list)
    samples: list[Samples] = field(default_factory=list)
    unmeasured: list[Unmeasured] = field(default_factory=list)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """A report as `as_json` wrote it; what follows from the samples is computed again."""
        found: Mapping[str, Any] = json.loads(text)
        figures = [
            Figure(**{key: value for key, value in each.items() if key != "kept"})
            for each in [*found["ratios"], *found["absolute"]]
        ]
        samples = [
            Samples(scenario=each["scenario"], name=each["name"], seconds=each["seconds"])
            for each in found["samples"]
        ]
        unmeasured = [Unmeasured(**each) for each in found["not_measured"]]
        return cls(machine=found["machine"], figures=figures, samples=samples, unmeasured=unmeasured)

    @property
    def ratios(self) -> list[Figure]:
        """The figures that mean the same on another machine."""
        return [figure for figure in self.figures if figure.unit == RATIO]

    @property
    def absolute(self) -> list[Figure]:
        """The figures of this machine alone."""
        return [figure for figure in self.figures if figure.unit != RATIO]

    def add(self, scenario: str, name: str, seconds: Sequence[float]) -> Samples:
        """Note the samples of one kind of work."""
        self.samples.append(samples := Samples(scenario=scenario, name=name, seconds=list(seconds)))
        return samples

    def compare(self, ours: Samples, theirs: Samples, bound: float | None = None, name: str = "") -> None:
        """Note the ratio of the two medians, of which at most `bound` was promised."""
        name = name or f"{ours.name} / {theirs.name}"
        self.state(ours.scenario, name, ours.p50 / theirs.p50, RATIO, at_most=bound)

    def state(
        self,
        scenario: str,
        name: str,
        value: float,
        unit: str,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
        more_is_better: bool = False,
    ) -> None:
        """Note one figure, and what was promised of it, if anything was."""
        self.figures.append(
            Figure(
                scenario=scenario,
                name=name,
                value=value,
                unit=unit,
                bound=at_most if at_least is None else at_least,
                at_least=more_is_better or at_least is not None,
            )
        )

    def miss(self, scenario: str, name: str, reason: str) -> None:
        """Note what could not be measured, and why."""
        self.unmeasured.append(Unmeasured(scenario=scenario, name=name, reason=reason))

    def as_json(self) -> str:
        """Machine, figures and every sample, so that anybody can compute them again."""
        return json.dumps(
            {
                "machine": dict(self.machine),
                "ratios": [asdict(each) | {"kept": each.kept} for each in self.ratios],
                "absolute": [asdict(each) | {"kept": each.kept} for each in self.absolute],
                "samples": [_as_object(each) for each in self.samples],
                "not_measured": [asdict(each) for each in self.unmeasured],
            },
            indent=1,
        )

    def as_markdown(self) -> str:
        """Ratios first, absolute figures second, what was not measured, the machine, every kind of work."""
        lines = self._tables(self.figures)
        if self.samples:
            lines += ["", "| work | by | n | p50 ms | p95 ms | p99 ms |", "|---|---|---|---|---|---|"]
            lines += [
                f"| {s.scenario} | {s.name} | {len(s.seconds)} | {_ms(s.p50)} | {_ms(s.p95)} | {_ms(s.p99)} |"
                for s in self.samples
            ]
        return "\n".join(lines) + "\n"

    def summary(self) -> str:
        """The same of the promises alone, as the README shows them."""
        return "\n".join(self._tables([each for each in self.figures if each.bound is not None])) + "\n"

    def _tables(self, figures: Sequence[Figure]) -> list[str]:
        lines = []
        for title, are_ratios in (("ratio of medians", True), ("on this machine", False)):
            rows = [each for each in figures if (each.unit == RATIO) is are_ratios]
            if rows:
                lines += [f"| {title} | | seen | promised |", "|---|---|---|---|"]
                lines += [f"| {f.scenario} | {f.name} | {f.shown} | {f.promise} |" for f in rows]
                lines.append("")
        if self.unmeasured:
            lines += [*(f"Not measured: {u.scenario}, {u.name}: {u.reason}" for u in self.unmeasured), ""]
        return [*lines, ", ".join(f"{key} {value}" for key, value in self.machine.items())]


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f}"


def _as_object(samples: Samples) -> dict[str, object]:
    return {
        "scenario": samples.scenario,
        "name": samples.name,
        "n": len(samples.seconds),
        "p50": samples.p50,
        "p95": samples.p95,
        "p99": samples.p99,
        "seconds": [round(each, 6) for each in samples.seconds],
    }
