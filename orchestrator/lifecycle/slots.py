"""Admission: one execution at a time per owner, owners in turn, slots and memory bounded, a bounded queue."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.errors import QueueFull

type OnPressure = Callable[[int], None]
"""Told how many bytes are missing for the execution that is next; gives back reservations, now or soon."""


class Ticket:
    """One place in the queue, then one slot and its memory; `leave` gives back whichever it is."""

    def __init__(self, slots: "Slots", owner: str, memory: int) -> None:
        self._slots = slots
        self.owner = owner
        self.memory = memory
        self.granted = asyncio.Event()

    @property
    def position(self) -> int:
        """How many tickets are served up to and with this one at the latest; 0 once it is granted."""
        return self._slots.position(self)

    def died(self) -> None:
        """Its container is dead: another's may have the slot and the memory while this one is harvested."""
        self._slots.died(self)

    def leave(self) -> None:
        """Give the slot, or the place in the queue, to whoever is next; a second call does nothing."""
        self._slots.leave(self)


@dataclass(eq=False, slots=True)
class Reservation:
    """Memory that a standby holds; the owner's next execution takes it over, whoever else waits."""

    slots: "Slots"
    owner: str
    memory: int

    def release(self) -> None:
        """Give the memory back; does nothing where it was given back or taken over before."""
        self.slots.release(self)


class Slots:
    """Hands out `total` slots and `memory` bytes (None: any); each owner's own tickets keep their order.

    `_turns` has the owners that wait and run nothing. An owner joins its end when its running execution
    ends, so that nobody in it waits behind more than one execution of any other owner. Nobody overtakes
    the first in it, however little memory they ask for: a big request is not starved by small ones.
    """

    def __init__(self, total: int, queue_limit: int, memory: int | None = None) -> None:
        self.total = total
        self.memory = memory
        self.on_pressure: list[OnPressure] = []
        """Called, maybe again and again, while the first in turn waits for memory alone."""
        self._queue_limit = queue_limit
        self._held: dict[str, Ticket] = {}
        self._harvested: dict[str, Ticket] = {}
        self._lines: dict[str, deque[Ticket]] = {}
        self._turns: deque[str] = deque()
        self._reserved: dict[str, Reservation] = {}

    @property
    def running(self) -> int:
        """Executions that were granted and have not left."""
        return len(self._held) + len(self._harvested)

    @property
    def queued(self) -> int:
        """Tickets that wait."""
        return sum(len(line) for line in self._lines.values())

    @property
    def memory_running(self) -> int:
        """Bytes granted to executions."""
        return sum(ticket.memory for ticket in self._held.values())

    @property
    def memory_queued(self) -> int:
        """Bytes that the waiting will need."""
        return sum(ticket.memory for line in self._lines.values() for ticket in line)

    @property
    def memory_reserved(self) -> int:
        """Bytes that standbys hold."""
        return sum(reservation.memory for reservation in self._reserved.values())

    def enter(self, owner: str, memory: int = 0) -> Ticket:
        """Queue up for a slot and `memory` bytes; raises `QueueFull` at once when too many wait already."""
        ticket = Ticket(self, owner, memory)
        if self._has_to_wait(ticket) and self.queued >= self._queue_limit:
            raise QueueFull(
                f"The queue is full, {self.queued} executions wait already: try again in a moment."
            )
        line = self._lines.setdefault(owner, deque())
        line.append(ticket)
        if len(line) == 1 and not self._is_busy(owner):
            self._turns.append(owner)
        self._grant()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Take a ticket out, wherever it is."""
        owner = ticket.owner
        if self._held.get(owner) is ticket or self._harvested.get(owner) is ticket:
            self._held.pop(owner, None)
            self._harvested.pop(owner, None)
            if owner in self._lines:
                self._turns.append(owner)
        elif (line := self._lines.get(owner)) and ticket in line:
            line.remove(ticket)
            self._forget_empty(owner)
        self._grant()

    def died(self, ticket: Ticket) -> None:
        """Free slot and memory, not the owner: its next one waits until this has left.

        As many may be harvested as may run, so that slow disks slow the queue down and not the harvests.
        """
        if self._held.get(ticket.owner) is ticket and len(self._harvested) < self.total:
            self._harvested[ticket.owner] = self._held.pop(ticket.owner)
            self._grant()

    def reserve(self, owner: str, memory: int) -> Reservation | None:
        """Memory for a standby of this owner, one each; None unless it is free beside who runs and waits."""
        if owner in self._reserved:
            return None
        taken = self.memory_running + self.memory_queued + self.memory_reserved
        if self.memory is not None and taken + memory > self.memory:
            return None
        made = self._reserved[owner] = Reservation(self, owner, memory)
        return made

    def release(self, reservation: Reservation) -> None:
        """Take a reservation back if it still stands."""
        if self._reserved.get(reservation.owner) is reservation:
            del self._reserved[reservation.owner]
            self._grant()

    def position(self, ticket: Ticket) -> int:
        """Tickets served up to and with this one, at the latest, if none leaves; 0 once it is granted."""
        line = self._lines.get(ticket.owner)
        if not line or ticket not in line:
            return 0
        rounds = line.index(ticket)
        turns = list(self._turns)
        own = turns.index(ticket.owner) if ticket.owner in turns else len(turns)
        before = rounds
        for owner, other in self._lines.items():
            if owner != ticket.owner:
                parked_with_us = owner not in turns and own == len(turns)
                is_ahead = parked_with_us or owner in turns[:own]
                before += min(len(other), rounds + is_ahead)
        return before + 1

    def _has_to_wait(self, ticket: Ticket) -> bool:
        if self._turns or self._is_busy(ticket.owner) or ticket.owner in self._lines:
            return True
        return len(self._held) >= self.total or self._missing(ticket, beside_standbys=False) > 0

    def _is_busy(self, owner: str) -> bool:
        return owner in self._held or owner in self._harvested

    def _missing(self, ticket: Ticket, *, beside_standbys: bool = True) -> int:
        """Bytes that are missing for it; none where nothing else runs, lest it should wait for ever."""
        if self.memory is None:
            return 0
        used = self.memory_running
        if beside_standbys:
            used += self.memory_reserved
            if (own := self._reserved.get(ticket.owner)) is not None:
                used -= own.memory
        return used + ticket.memory - self.memory if used else 0

    def _grant(self) -> None:
        while self._turns and len(self._held) < self.total:
            ticket = self._lines[self._turns[0]][0]
            if (missing := self._missing(ticket)) > 0:
                for press in tuple(self.on_pressure):
                    press(missing)  # may release at once, and so come by here
                if not ticket.granted.is_set() and self._missing(ticket) > 0:
                    return
                continue
            self._take(ticket)

    def _take(self, ticket: Ticket) -> None:
        owner = self._turns.popleft()
        self._lines[owner].popleft()
        self._held[owner] = ticket
        self._reserved.pop(owner, None)
        self._forget_empty(owner)
        ticket.granted.set()

    def _forget_empty(self, owner: str) -> None:
        if not self._lines[owner]:
            del self._lines[owner]
            if owner in self._turns:
                self._turns.remove(owner)
