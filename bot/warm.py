"""Makes ready for code that somebody will probably run soon, beside whatever else goes on."""

import asyncio
import time

import structlog

from orchestrator import Sandglass, SandglassError

log = structlog.get_logger(__name__)

_NOT_AGAIN = 5.0
"""Seconds in which a second word about the same person says nothing new."""
_AT_THE_END = 10.0
_REMEMBERED = 10_000


class Warmer:
    """At most one preparation a person and five seconds, none of which anybody waits for."""

    def __init__(self, orchestrator: Sandglass) -> None:
        self._orchestrator = orchestrator
        self._told: dict[str, float] = {}
        self._at_work: set[asyncio.Task[None]] = set()

    @property
    def told(self) -> set[str]:
        """Of whom a word was heard lately."""
        return set(self._told)

    @property
    def under_way(self) -> int:
        """How many are being prepared for."""
        return len(self._at_work)

    def coming(self, owner: str | int) -> None:
        """Say that code of this person is coming; returns at once."""
        owner, now = str(owner), time.monotonic()
        if now - self._told.get(owner, -_NOT_AGAIN) < _NOT_AGAIN:
            return
        if len(self._told) >= _REMEMBERED:
            self._told.clear()
        self._told[owner] = now
        task = asyncio.create_task(self._prepare(owner), name="prewarm")
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def close(self) -> None:
        """Wait for what is being prepared, which ends by itself."""
        if self._at_work:
            await asyncio.wait(self._at_work, timeout=_AT_THE_END)

    async def _prepare(self, owner: str) -> None:
        try:
            await self._orchestrator.prewarm(owner)
        except SandglassError as error:
            # The execution itself will say it to the one whom it concerns.
            log.warning("not prewarmed", error=str(error))
