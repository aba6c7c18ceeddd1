"""How much memory the files of all deliveries, and those of all uploads, may take."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_MOST = 64 * 1024 * 1024


class Held:
    """A semaphore that counts bytes; first come, first served, and what is larger than all passes alone."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._held = 0
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, count: int) -> AsyncIterator[None]:
        """Hold so many bytes as soon as they fit beside what others hold."""
        await self._enter(count)
        try:
            yield
        finally:
            self._held -= count
            self._wake()

    async def _enter(self, count: int) -> None:
        if not count or (not self._line and self._fits(count)):
            self._held += count
            return
        mine = (count, asyncio.get_running_loop().create_future())
        self._line.append(mine)
        try:
            await mine[1]
        except asyncio.CancelledError:
            if not mine[1].cancelled():
                self._held -= count  # let in at the same moment
            self._wake()
            raise

    def _fits(self, count: int) -> bool:
        return not self._held or self._held + count <= self._most

    def _wake(self) -> None:
        while self._line and (self._line[0][1].cancelled() or self._fits(self._line[0][0])):
            count, waiting = self._line.popleft()
            if not waiting.cancelled():
                self._held += count
                waiting.set_result(None)


IN_HAND = Held()
"""What this process delivers. Apart from uploads: nobody's plot waits for another's slow upload."""
COMING_IN = Held()
"""What is uploaded to this process."""
