"""`sandglass bench`: what an execution costs on this machine, beside what others cost."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from orchestrator.cli import errors, show
from orchestrator.cli.session import log_to_stderr, wait_for

if TYPE_CHECKING:
    from orchestrator.bench.figures import Report

FULL_RUNS, SHORT_RUNS = 30, 9


def bench(
    *,
    runs: int | None,
    only: Sequence[str],
    peers: bool,
    plot: Path | None,
    markdown: Path | None,
    check: bool,
    as_json: bool,
) -> int:
    """Measure and report; with `check`, 3 when a ratio is clearly worse than the committed one."""
    log_to_stderr()
    with Bar() as bar:
        runs = runs or (SHORT_RUNS if check else FULL_RUNS)
        report = _measure(bar, runs, only, peers=peers)
        lost = _lost(bar, report, runs) if check else ()
        if plot is not None:
            _draw(bar, report, plot)
    if markdown is not None:
        _write(report, markdown)
    sys.stdout.write(report.as_json() + "\n" if as_json else report.as_markdown())
    if not lost:
        return errors.DONE
    return errors.report(
        f"Slower than committed, twice: {'; '.join(lost)}. Undo what made it slow, or, where that is "
        "wanted, commit new figures with `make bench-figures`.",
        errors.FAULT,
        as_json=as_json,
    )


def _measure(bar: "Bar", runs: int, only: Sequence[str], *, peers: bool = False) -> "Report":
    from orchestrator import Settings
    from orchestrator.bench.run import run_benchmark

    return wait_for(run_benchmark(Settings.load(), runs=runs, progress=bar, only=only, with_peers=peers))


def _lost(bar: "Bar", report: "Report", runs: int) -> Sequence[str]:
    """What lost clearly, and lost again when its scenario alone was measured once more."""
    from orchestrator.bench.gate import committed_report, confirmed, losses
    from orchestrator.bench.run import SCENARIOS

    committed = committed_report()
    first = losses(committed, report)
    if not first:
        return ()
    titles = {loss.seen.scenario for loss in first}
    again = [name for name, scenario in SCENARIOS.items() if scenario.title in titles]
    second = losses(committed, _measure(bar, runs, again))
    return [str(loss) for loss in confirmed(first, second)]


def _draw(bar: "Bar", report: "Report", target: Path) -> None:
    from orchestrator import Settings
    from orchestrator.bench.picture import draw

    bar.begin("drawing, in a sandbox", 1)
    picture = wait_for(draw(Settings.load(), report))
    target.write_bytes(picture)
    bar.step()


def _write(report: "Report", target: Path) -> None:
    from orchestrator.bench.picture import between_marks

    text = target.read_text() if target.exists() else ""
    target.write_text(between_marks(text, report.summary()))


class Bar:
    """How far it is, on stderr; a line a scenario where stderr is no terminal."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = show.console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, title: str, steps: int) -> None:
        """The next thing to measure, in so many steps."""
        if self._progress.disable:
            self._console.print(show.cell(f"measuring {title}", "dim"))
        self._progress.reset(self._task, description=title, total=steps)

    def step(self) -> None:
        """One step on."""
        self._progress.advance(self._task)
