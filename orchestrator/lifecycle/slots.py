"""Admission: one execution at a time per owner, owners served in turn, global slots, a bounded queue."""

import asyncio
from collections import OrderedDict, deque

from orchestrator.errors import QueueFull


class Ticket:
    """One place in the queue, then one slot; `leave` gives back whichever it is."""

    def __init__(self, slots: "Slots", owner: str) -> None:
        self._slots = slots
        self.owner = owner
        self.granted = asyncio.Event()

    @property
    def position(self) -> int:
        """How many tickets are served before this one at the latest; 0 once it is granted."""
        return self._slots.position(self)

    def leave(self) -> None:
        """Give the slot, or the place in the queue, to whoever is next; a second call does nothing."""
        self._slots.leave(self)


class Slots:
    """Hands out `total` slots. Waiting owners take turns, and each owner's own tickets keep their order."""

    def __init__(self, total: int, queue_limit: int) -> None:
        self.total = total
        self._queue_limit = queue_limit
        self._held: dict[str, Ticket] = {}
        self._waiting: OrderedDict[str, deque[Ticket]] = OrderedDict()

    @property
    def running(self) -> int:
        """Slots in use."""
        return len(self._held)

    @property
    def queued(self) -> int:
        """Tickets that wait."""
        return sum(len(line) for line in self._waiting.values())

    def enter(self, owner: str) -> Ticket:
        """Queue up; raises `QueueFull` at once when too many wait already."""
        ticket = Ticket(self, owner)
        has_to_wait = owner in self._waiting or not self._has_room(owner)
        if has_to_wait and self.queued >= self._queue_limit:
            raise QueueFull(
                f"The queue is full: {self.queued} executions wait already. Try again in a moment."
            )
        self._waiting.setdefault(owner, deque()).append(ticket)
        self._grant()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Take a ticket out, wherever it is."""
        if self._held.get(ticket.owner) is ticket:
            del self._held[ticket.owner]
        elif (line := self._waiting.get(ticket.owner)) and ticket in line:
            line.remove(ticket)
            if not line:
                del self._waiting[ticket.owner]
        self._grant()

    def position(self, ticket: Ticket) -> int:
        """Tickets served before this one when every owner takes turns; 0 once it is granted."""
        line = self._waiting.get(ticket.owner)
        if not line or ticket not in line:
            return 0
        round_number = line.index(ticket)
        owners = list(self._waiting)
        before = sum(
            min(len(other), round_number + (owners.index(owner) < owners.index(ticket.owner)))
            for owner, other in self._waiting.items()
            if owner != ticket.owner
        )
        return before + round_number + 1

    def _has_room(self, owner: str) -> bool:
        return owner not in self._held and len(self._held) < self.total

    def _grant(self) -> None:
        while (owner := next((o for o in self._waiting if self._has_room(o)), None)) is not None:
            line = self._waiting[owner]
            ticket = line.popleft()
            if line:
                self._waiting.move_to_end(owner)
            else:
                del self._waiting[owner]
            self._held[owner] = ticket
            ticket.granted.set()
