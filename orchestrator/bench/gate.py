"""Whether a fresh run is a clear loss against the committed figures; robust, for machines are noisy."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from orchestrator.bench.figures import Figure, Report

TOLERANCE = 1.35
"""How many times worse than committed a ratio may come out of a short run on a busy machine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """One ratio that got worse by more than noise, and that no promise covers any more."""

    committed: float
    seen: Figure

    def __str__(self) -> str:
        promised = (
            "" if self.seen.bound is None else f", promised {self.seen.promise.removeprefix('MISSED ')}"
        )
        return (
            f"{self.seen.scenario}, {self.seen.name} was {self.seen.value:.2f}, "
            f"committed {self.committed:.2f}{promised}"
        )


def losses(committed: Report, fresh: Report) -> Sequence[Loss]:
    """The ratios of both reports that are more than `TOLERANCE` times worse and, where promised, missed too.

    What only one of them measured (no peers, other scenarios) says nothing; absolute figures are a machine's.
    """
    before = {(each.scenario, each.name): each.value for each in committed.ratios}
    return [
        Loss(committed=before[key], seen=figure)
        for figure in fresh.ratios
        if (key := (figure.scenario, figure.name)) in before
        and figure.worse_than(before[key]) > TOLERANCE
        and (figure.bound is None or not figure.kept)
    ]


def confirmed(first: Sequence[Loss], second: Sequence[Loss]) -> Sequence[Loss]:
    """The losses that a second measurement showed again: one busy moment is no regression."""
    again = {(each.seen.scenario, each.seen.name) for each in second}
    return [each for each in first if (each.seen.scenario, each.seen.name) in again]


def committed_report() -> Report:
    """The figures that were committed with this version."""
    return Report.from_json((resources.files("orchestrator.bench") / "committed.json").read_text())
