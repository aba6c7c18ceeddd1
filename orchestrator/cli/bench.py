"""`sandglass bench`: what an execution costs on this machine."""

import sys

from orchestrator.cli import errors, show
from orchestrator.cli.session import log_to_stderr, wait_for


def bench(runs: int, *, check: bool, as_json: bool) -> int:
    """Measure and report; with `check`, 3 when a promised ratio was missed."""
    from orchestrator import Settings
    from orchestrator.bench.run import run_benchmark

    log_to_stderr()
    progress = show.console(stderr=True)
    report = wait_for(
        run_benchmark(
            Settings.load(),
            runs=runs,
            progress=lambda step: progress.print(show.cell(f"measuring {step}", "dim")),
        )
    )
    sys.stdout.write(report.as_json() + "\n" if as_json else report.as_markdown())
    missed = [ratio for ratio in report.ratios if not ratio.kept]
    if not check or not missed:
        return errors.DONE
    names = "; ".join(f"{ratio.name} was {ratio.value:.2f}, promised {ratio.bound:g}" for ratio in missed)
    return errors.report(
        f"Slower than promised: {names}. Try again on a quiet machine.", errors.FAULT, as_json=as_json
    )
