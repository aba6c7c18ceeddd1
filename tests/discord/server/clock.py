"""Time that a test can push forward, and the ids that Discord derives from it."""

from datetime import UTC, datetime, timedelta
from itertools import count

DISCORD_EPOCH_MS = 1_420_070_400_000


class Clock:
    """Real time plus what a test added with `advance`."""

    def __init__(self) -> None:
        self._ahead = timedelta()
        self._ids = count()

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC) + self._ahead

    def advance(self, seconds: float) -> None:
        """Make every deadline and expiry of the server `seconds` nearer."""
        self._ahead += timedelta(seconds=seconds)

    def snowflake(self) -> int:
        """A fresh, growing Discord id."""
        milliseconds = int(self.now().timestamp() * 1000) - DISCORD_EPOCH_MS
        return (milliseconds << 22) | (next(self._ids) & 0x3FFFFF)
