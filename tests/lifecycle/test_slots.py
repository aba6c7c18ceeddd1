"""Admission is bounded, fair between owners and in order for each."""

from collections import Counter

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
    assert served(slots, [*crowd, late]).index(10) == 1


@given(st.data(), st.integers(min_value=1, max_value=3))
def test_under_any_load_nobody_waits_behind_two_of_another(data: st.DataObject, total: int) -> None:
    """Whatever comes and goes while an owner's turn is due: it sees one run of every other, never two."""
    slots = Slots(total=total, queue_limit=1000)
    inside: list[Ticket] = []
    waiting: list[Ticket] = []
    seen: dict[Ticket, Counter[str]] = {}

    def notice() -> None:
        for ticket in [one for one in waiting if one.granted.is_set()]:
            waiting.remove(ticket)
            inside.append(ticket)
            behind = seen.pop(ticket, Counter())
            assert not [owner for owner, times in behind.items() if times > 1], behind
            for others in seen.values():
                others[ticket.owner] += 1
        for ticket in waiting:  # due: the first of its owner's line, and none of theirs runs
            is_first = not any(other.owner == ticket.owner for other in waiting[: waiting.index(ticket)])
            if is_first and ticket not in seen and ticket.owner not in {one.owner for one in inside}:
                seen[ticket] = Counter(one.owner for one in inside)
        assert len(inside) <= total
        assert len({one.owner for one in inside}) == len(inside)

    for _ in range(data.draw(st.integers(min_value=1, max_value=40))):
        somebody_leaves = data.draw(st.booleans())
        if inside and somebody_leaves:
            inside.pop(data.draw(st.integers(0, len(inside) - 1))).leave()
        else:
            waiting.append(slots.enter(data.draw(st.sampled_from("abcde"))))
        notice()
    while inside:
        inside.pop(0).leave()
        notice()
    assert not waiting


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=20), st.integers(min_value=1, max_value=3))
def test_a_position_is_never_too_low(owners: list[str], total: int) -> None:
    """Whoever is told to be the fifth is served fifth, or before."""
    slots = Slots(total=total, queue_limit=100)
    tickets = [slots.enter(owner) for owner in owners]
    told = [ticket.position for ticket in tickets]
    granted = [ticket for ticket in tickets if ticket.granted.is_set()]
    assert [place == 0 for place in told] == [ticket in granted for ticket in tickets]
    began = list(granted)
    while granted:
        granted.pop(0).leave()
        for ticket in tickets:
            if ticket.granted.is_set() and ticket not in began:
                began.append(ticket)
                granted.append(ticket)
    already = sum(place == 0 for place in told)
    for ticket, place in zip(tickets, told, strict=True):
        if place:
            assert began.index(ticket) - already < place


def test_memory_bounds_what_runs_at_once() -> None:
    """A free slot is not enough; the first in turn is not overtaken by one who asks for less."""
    slots = Slots(total=4, queue_limit=10, memory=10)
    first, big, small = slots.enter("a", 6), slots.enter("b", 6), slots.enter("c", 1)
    assert (first.granted.is_set(), big.granted.is_set(), small.granted.is_set()) == (True, False, False)
    assert (slots.memory_running, slots.memory_queued) == (6, 7)
    first.leave()
    assert big.granted.is_set()
    assert small.granted.is_set()
    assert (slots.memory_running, slots.memory_queued) == (7, 0)


def test_what_is_larger_than_the_host_runs_alone() -> None:
    """It would wait for ever otherwise."""
    slots = Slots(total=4, queue_limit=10, memory=10)
    small, large = slots.enter("a", 1), slots.enter("b", 50)
    assert not large.granted.is_set()
    small.leave()
    assert large.granted.is_set()
    assert not slots.enter("c", 1).granted.is_set()


def test_a_standby_gets_only_what_nobody_waits_for() -> None:
    """With all slots in use the memory of the waiting is not given to a standby."""
    slots = Slots(total=1, queue_limit=10, memory=10)
    runs, waits = slots.enter("a", 4), slots.enter("b", 4)
    assert slots.reserve("c", 4) is None
    kept = slots.reserve("c", 2)
    assert kept is not None
    assert slots.reserve("c", 0) is None, "one each"
    runs.leave()
    assert waits.granted.is_set()
    kept.release()
    kept.release()
    assert slots.memory_reserved == 0


@pytest.mark.parametrize("at_once", [True, False])
def test_a_standby_gives_way_to_whoever_waits_for_memory(*, at_once: bool) -> None:
    """The pressure names the missing bytes; given back now or later, they reach the one in turn."""
    slots = Slots(total=4, queue_limit=0, memory=10)
    kept = slots.reserve("idle", 5)
    assert kept is not None
    pressed: list[int] = []

    def press(missing: int) -> None:
        pressed.append(missing)
        if at_once:
            kept.release()

    slots.on_pressure.append(press)
    ticket = slots.enter("a", 8)
    assert set(pressed) == {3}
    assert ticket.granted.is_set() is at_once
    kept.release()
    assert ticket.granted.is_set()
    assert (slots.memory_running, slots.memory_reserved) == (8, 0)


def test_an_owner_takes_over_the_memory_of_its_own_standby() -> None:
    """The standby becomes the execution: nothing is counted twice, nobody is pressed."""
    slots = Slots(total=4, queue_limit=10, memory=10)
    slots.on_pressure.append(lambda missing: pytest.fail(f"pressed for {missing}"))
    kept = slots.reserve("a", 8)
    assert kept is not None
    ticket = slots.enter("a", 8)
    assert ticket.granted.is_set()
    assert (slots.memory_running, slots.memory_reserved) == (8, 0)
    kept.release()
    assert slots.memory_running == 8
    ticket.leave()
    assert slots.memory_running == 0


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


def test_the_dead_free_their_slot_and_not_their_owner() -> None:
    """While one is harvested another owner's runs, its own next one waits, and as many may be as may run."""
    slots = Slots(1, 10, memory=100)
    first, own, other, third = (slots.enter(owner, 100) for owner in ("a", "a", "b", "c"))
    first.died()
    assert other.granted.is_set()
    assert (slots.running, slots.memory_running) == (2, 100)
    other.died()
    assert not third.granted.is_set(), "one harvest at a time where one may run"
    assert not own.granted.is_set()
    first.leave()
    assert not own.granted.is_set()
    other.leave()
    assert third.granted.is_set()
    third.leave()
    assert own.granted.is_set()
