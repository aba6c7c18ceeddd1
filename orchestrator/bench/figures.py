"""Samples, medians and the report of a benchmark."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """Seconds of one kind of work, repeated."""

    name: str
    seconds: Sequence[float]

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.seconds)

    @property
    def p95(self) -> float:
        """The 95th percentile, by the nearest rank."""
        ordered = sorted(self.seconds)
        return ordered[ceil(0.95 * len(ordered)) - 1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """One promise: `ours / theirs` of the medians, at most `bound`."""

    name: str
    value: float
    bound: float

    @property
    def kept(self) -> bool:
        """Whether the promise held in this run."""
        return self.value <= self.bound


@dataclass(slots=True)
class Report:
    """What one run of the benchmark saw."""

    machine: Mapping[str, str]
    ratios: list[Ratio] = field(default_factory=list)
    samples: list[Samples] = field(default_factory=list)

    def compare(self, ours: Samples, theirs: Samples, bound: float) -> None:
        """Note both and the ratio of their medians."""
        self.samples += [ours, theirs]
        name = f"{ours.name} / {theirs.name}"
        self.ratios.append(Ratio(name=name, value=ours.p50 / theirs.p50, bound=bound))

    def as_json(self) -> str:
        """Machine, ratios and every sample."""
        return json.dumps(
            {
                "machine": dict(self.machine),
                "ratios": [asdict(ratio) | {"kept": ratio.kept} for ratio in self.ratios],
                "samples": [
                    {
                        "name": s.name,
                        "n": len(s.seconds),
                        "p50": s.p50,
                        "p95": s.p95,
                        "seconds": list(s.seconds),
                    }
                    for s in self.samples
                ],
            },
            indent=1,
        )

    def as_markdown(self) -> str:
        """Ratios first, absolute figures second."""
        lines = ["| ratio of medians | seen | promised |", "|---|---|---|"]
        lines += [
            f"| {r.name} | {r.value:.2f} | {'' if r.kept else 'MISSED '}<= {r.bound:g} |" for r in self.ratios
        ]
        lines += ["", "| work | n | p50 ms | p95 ms |", "|---|---|---|---|"]
        lines += [
            f"| {s.name} | {len(s.seconds)} | {s.p50 * 1e3:.1f} | {s.p95 * 1e3:.1f} |" for s in self.samples
        ]
        lines += ["", ", ".join(f"{key} {value}" for key, value in self.machine.items())]
        return "\n".join(lines) + "\n"
