"""The state machine refuses what the design does not draw."""

import itertools

import pytest

from orchestrator.domain.states import TRANSITIONS, ExecutionState, check_transition
from orchestrator.errors import IllegalTransition

TERMINAL = {"COMPLETED", "CANCELLED", "FAILED", "LOST"}


@pytest.mark.parametrize("pair", list(itertools.product(ExecutionState, repeat=2)), ids="-".join)
def test_every_pair_of_states_is_either_an_edge_or_refused_by_name(
    pair: tuple[ExecutionState, ExecutionState],
) -> None:
    """A pair that is no edge raises, naming both states."""
    old, new = pair
    if new in TRANSITIONS[old]:
        check_transition(old, new)
    else:
        with pytest.raises(IllegalTransition, match=f"{old}.*{new}"):
            check_transition(old, new)


def test_terminal_states_are_the_four_of_the_design() -> None:
    """Nothing leaves COMPLETED, CANCELLED, FAILED or LOST, and everything else can be LOST or FAILED."""
    assert {state.value for state in ExecutionState if state.is_terminal} == TERMINAL
    for state in ExecutionState:
        if not state.is_terminal:
            assert {ExecutionState.FAILED, ExecutionState.LOST} <= TRANSITIONS[state]


def test_nothing_is_cancelled_once_its_files_are_being_collected() -> None:
    """HARVESTING leads to COMPLETED, FAILED or LOST alone."""
    assert ExecutionState.CANCELLED not in TRANSITIONS[ExecutionState.HARVESTING]
