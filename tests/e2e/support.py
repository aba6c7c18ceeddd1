"""What the end-to-end tests share."""

from datetime import timedelta

from orchestrator import SystemClock


class MovableClock(SystemClock):
    """The system clock, which a test may move on."""

    def move(self, **by: float) -> None:
        """Move as `timedelta(**by)` says."""
        self.offset += timedelta(**by)
