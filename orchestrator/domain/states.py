"""Where an execution is. What happened to it is another type, see `outcomes`."""

from enum import StrEnum

from orchestrator.errors import IllegalTransition


class ExecutionState(StrEnum):
    """A sentence per member; the edges are `TRANSITIONS`."""

    QUEUED = "QUEUED"
    """A row exists, nothing else."""
    PREPARING = "PREPARING"
    """A slot is held and leased; inputs, manifest and container are being made."""
    RUNNING = "RUNNING"
    """The code was handed over."""
    HARVESTING = "HARVESTING"
    """The container is dead; its files are being collected."""
    COMPLETED = "COMPLETED"
    """Files, rows and outcome were committed in one transaction."""
    CANCELLED = "CANCELLED"
    """Stopped before the row said RUNNING: no code ran, or a standby's for a moment."""
    FAILED = "FAILED"
    """A fault of ours or the engine's; the row carries the error."""
    LOST = "LOST"
    """The lease expired and the reaper found it; the row carries what was left."""

    @property
    def is_terminal(self) -> bool:
        """True where nothing will ever change again."""
        return not TRANSITIONS[self]


_S = ExecutionState

TRANSITIONS: dict[ExecutionState, frozenset[ExecutionState]] = {
    _S.QUEUED: frozenset({_S.PREPARING, _S.CANCELLED, _S.FAILED, _S.LOST}),
    _S.PREPARING: frozenset({_S.RUNNING, _S.CANCELLED, _S.FAILED, _S.LOST}),
    _S.RUNNING: frozenset({_S.HARVESTING, _S.CANCELLED, _S.FAILED, _S.LOST}),
    _S.HARVESTING: frozenset({_S.COMPLETED, _S.FAILED, _S.LOST}),
    _S.COMPLETED: frozenset(),
    _S.CANCELLED: frozenset(),
    _S.FAILED: frozenset(),
    _S.LOST: frozenset(),
}


def check_transition(old: ExecutionState, new: ExecutionState) -> None:
    """Raise `IllegalTransition`, naming the pair, unless the machine has the edge `old -> new`."""
    if new not in TRANSITIONS[old]:
        raise IllegalTransition(
            f"An execution cannot go from {old} to {new}; this is a defect, please report it."
        )
