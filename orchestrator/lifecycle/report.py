"""From evidence to the result object, and the phase clock that user code cannot reach."""

from dataclasses import dataclass

from orchestrator.domain.files import Harvest
from orchestrator.domain.limits import Limits
from orchestrator.domain.outcomes import DiskLimit, ExitStatus, KillReason, Outcome, decide_outcome, hint_for
from orchestrator.domain.results import ExecutionResult, Timings
from orchestrator.lifecycle.output import BoundedStream
from orchestrator.lifecycle.ports import Clock


@dataclass(slots=True)
class Phases:
    """Moments of one execution on the monotonic clock; a phase that was not reached lasts 0 seconds."""

    clock: Clock
    queued_at: float
    _claimed: float | None = None
    _acquired: float | None = None
    _died: float | None = None
    _harvested: float | None = None

    def claimed(self) -> None:
        """The slot and the row are ours."""
        self._claimed = self.clock.monotonic()

    def acquired(self) -> None:
        """The verified container exists."""
        self._acquired = self.clock.monotonic()

    def died(self) -> None:
        """The container is dead and its output read."""
        self._died = self.clock.monotonic()

    def harvested(self) -> None:
        """The blobs are written."""
        self._harvested = self.clock.monotonic()

    def timings(self) -> Timings:
        """Seconds per phase up to now."""
        now = self.clock.monotonic()
        return Timings(
            queued=(self._claimed or now) - self.queued_at,
            acquire=_between(self._claimed, self._acquired),
            run=_between(self._acquired, self._died),
            harvest=_between(self._died, self._harvested),
            total=now - self.queued_at,
        )


def _between(start: float | None, end: float | None) -> float:
    return end - start if start is not None and end is not None else 0.0


def describe(
    *,
    execution_id: str,
    owner: str,
    limits: Limits,
    status: ExitStatus,
    reason: KillReason | None,
    stdout: BoundedStream,
    stderr: BoundedStream,
    harvest: Harvest,
    timings: Timings,
    image: str,
    runtime: str,
    warm: bool,
    disk: DiskLimit | None = None,
) -> ExecutionResult:
    """The result of a program that ran, however it ended."""
    outcome = decide_outcome(status, reason)
    files = tuple(found.file for found in harvest.files)
    return ExecutionResult(
        execution_id=execution_id,
        owner=owner,
        success=outcome is Outcome.OK,
        outcome=outcome,
        exit_code=status.exit_code,
        hint=hint_for(outcome, limits, exit_code=status.exit_code, reason=reason, disk=disk),
        output=stdout.text(),
        error=stderr.text(),
        output_bytes=stdout.total,
        error_bytes=stderr.total,
        truncated=bool(stdout.dropped or stderr.dropped),
        execution_time=timings.run,
        timings=timings,
        warm=warm,
        generated_files=files,
        generated_file_ids=tuple(file.file_id for file in files),
        skipped_files=harvest.skipped,
        image=image,
        runtime=runtime,
    )


def never_ran(
    *,
    execution_id: str,
    owner: str,
    limits: Limits,
    reason: KillReason,
    timings: Timings,
    image: str,
    runtime: str,
) -> ExecutionResult:
    """The result of a request that was stopped before its code was handed over."""
    outcome = Outcome.KILLED if reason is KillReason.OPERATOR else Outcome.CANCELLED
    return ExecutionResult(
        execution_id=execution_id,
        owner=owner,
        success=False,
        outcome=outcome,
        exit_code=None,
        hint=hint_for(outcome, limits, exit_code=None, reason=reason),
        output="",
        error="",
        output_bytes=0,
        error_bytes=0,
        truncated=False,
        execution_time=0.0,
        timings=timings,
        warm=False,
        generated_files=(),
        generated_file_ids=(),
        skipped_files=(),
        image=image,
        runtime=runtime,
    )
