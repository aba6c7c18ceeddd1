"""Admission is bounded, fair between owners and in order for each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import QueueFull
from orchestrator.lifecycle.slots import Slots, Ticket


def served(slots: Slots, tickets: list[Ticket]) -> list[int]:
    """Let every granted ticket leave in turn; the order in which tickets were granted."""
    order: list[int] = []
    waiting = dict(enumerate(tickets))
    while waiting:
        granted = [number for number, ticket in waiting.items() if ticket.granted.is_set()]
        assert granted, "nobody is served although slots are free"
        for number in granted:
            order.append(number)
            waiting.pop(number).leave()
            break
    return order


def test_one_owner_runs_one_at_a_time_in_order() -> None:
    """Free slots do not help the second request of an owner."""
    slots = Slots(total=4, queue_limit=10)
    tickets = [slots.enter("a") for _ in range(3)]
    assert [ticket.granted.is_set() for ticket in tickets] == [True, False, False]
    assert served(slots, tickets) == [0, 1, 2]


def test_no_owner_waits_behind_more_than_one_execution_of_every_other() -> None:
    """A crowd of one owner's requests does not delay another owner by more than the one that runs."""
    slots = Slots(total=1, queue_limit=100)
    crowd = [slots.enter("a") for _ in range(10)]
    late = slots.enter("b")
    assert served(slots, [*crowd, late]).index(10) <= 2


def test_a_full_queue_is_refused_and_nothing_changes() -> None:
    """The refusal says how many wait; a place given back is free again."""
    slots = Slots(total=1, queue_limit=2)
    tickets = [slots.enter(owner) for owner in ("a", "b", "c")]
    with pytest.raises(QueueFull, match="2 executions wait"):
        slots.enter("d")
    assert slots.queued == 2
    tickets[1].leave()
    slots.enter("d")


def test_an_idle_installation_accepts_even_with_no_queue_at_all() -> None:
    """queue_limit 0 means no waiting, not no service."""
    slots = Slots(total=1, queue_limit=0)
    assert slots.enter("a").granted.is_set()
    with pytest.raises(QueueFull):
        slots.enter("b")


def test_the_position_counts_down_to_zero() -> None:
    """A ticket knows how many are served before it."""
    slots = Slots(total=1, queue_limit=10)
    first, second, third = (slots.enter(owner) for owner in ("a", "b", "c"))
    assert (first.position, second.position, third.position) == (0, 1, 2)
    first.leave()
    assert (second.position, third.position) == (0, 1)


@given(st.lists(st.sampled_from("abcd"), max_size=40), st.integers(min_value=1, max_value=3))
def test_everybody_is_served_once_and_each_owner_in_order(owners: list[str], total: int) -> None:
    """Whatever the mix: all are served, no owner twice at once, and nobody overtakes within an owner."""
    slots = Slots(total=total, queue_limit=100)
    tickets = [slots.enter(owner) for owner in owners]
    order = served(slots, tickets)
    assert sorted(order) == list(range(len(owners)))
    for owner in set(owners):
        own = [number for number in order if owners[number] == owner]
        assert own == sorted(own)
    assert slots.running == slots.queued == 0


def test_leaving_twice_frees_one_slot_only() -> None:
    """A second leave of a ticket does not let two run."""
    slots = Slots(total=1, queue_limit=10)
    first, second, third = (slots.enter(owner) for owner in ("a", "b", "c"))
    first.leave()
    first.leave()
    assert second.granted.is_set()
    assert not third.granted.is_set()
