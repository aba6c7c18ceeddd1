"""The cause of death is decided from evidence, in the documented order, and always explained."""

import pytest

from orchestrator.domain.limits import Limits
from orchestrator.domain.outcomes import ExitStatus, KillReason, Outcome, decide_outcome, hint_for


def test_our_own_reason_stands_before_everything_the_engine_says() -> None:
    """A container that we killed for its time is timed out even when it also ran out of memory."""
    status = ExitStatus(exit_code=137, oom_killed=True)
    assert decide_outcome(status, KillReason.TIMEOUT) is Outcome.TIMED_OUT


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (KillReason.TIMEOUT, Outcome.TIMED_OUT),
        (KillReason.CANCEL, Outcome.CANCELLED),
        (KillReason.OUTPUT, Outcome.OUTPUT_LIMIT),
        (KillReason.DISK, Outcome.DISK_LIMIT),
        (KillReason.OPERATOR, Outcome.KILLED),
    ],
)
def test_every_reason_to_kill_has_its_outcome(reason: KillReason, outcome: Outcome) -> None:
    """Each reason maps to one outcome."""
    assert decide_outcome(ExitStatus(exit_code=137), reason) is outcome


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (ExitStatus(exit_code=137, oom_killed=True), Outcome.OUT_OF_MEMORY),
        (ExitStatus(exit_code=0, oom_killed=True), Outcome.OK),
        (ExitStatus(exit_code=1, oom_killed=True), Outcome.NONZERO_EXIT),
        (ExitStatus(exit_code=0), Outcome.OK),
        (ExitStatus(exit_code=137), Outcome.KILLED),
        (ExitStatus(exit_code=1, pids_refused=True), Outcome.PROCESS_LIMIT),
        (ExitStatus(exit_code=0, pids_refused=True), Outcome.OK),
        (ExitStatus(exit_code=1, disk_full=True), Outcome.DISK_LIMIT),
        (ExitStatus(exit_code=0, disk_full=True), Outcome.OK),
        (ExitStatus(exit_code=3), Outcome.NONZERO_EXIT),
        (ExitStatus(exit_code=139), Outcome.NONZERO_EXIT),
    ],
)
def test_evidence_decides_where_we_did_not_kill(status: ExitStatus, outcome: Outcome) -> None:
    """A program that survives a limit and exits by itself keeps its own word; a bare 137 is never guessed."""
    assert decide_outcome(status, None) is outcome


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_but_ok_has_one_line_that_says_what_to_do(outcome: Outcome) -> None:
    """A hint is one line of two sentences at least: what happened, and the remedy."""
    hint = hint_for(outcome, Limits(), exit_code=1)
    if outcome is Outcome.OK:
        assert hint is None
    else:
        assert hint is not None
        assert "\n" not in hint
        assert hint.count(". ") >= 1
        assert "{" not in hint


def test_the_memory_hint_is_the_sentence_of_the_design() -> None:
    """The design quotes this one to the letter."""
    expected = "Out of memory: the limit is 1 GiB. Load the file in chunks."
    assert hint_for(Outcome.OUT_OF_MEMORY, Limits(), exit_code=137) == expected


def test_a_signal_is_named_in_the_hint() -> None:
    """139 is signal 11."""
    hint = hint_for(Outcome.NONZERO_EXIT, Limits(), exit_code=139)
    assert hint is not None
    assert "signal 11" in hint
