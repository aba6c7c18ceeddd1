"""The one clock; tests and `sandglass demo` hand in a moved one."""

import time
from datetime import UTC, datetime, timedelta


class SystemClock:
    """Aware UTC from the host, optionally moved by a constant `offset`."""

    def __init__(self, offset: timedelta = timedelta()) -> None:
        self.offset = offset

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        return datetime.now(UTC) + self.offset

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        return time.monotonic()
