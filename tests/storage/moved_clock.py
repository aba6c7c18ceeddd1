"""A clock that only moves when told, and the lifetime that the tests of storage use."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

TTL = timedelta(hours=48)


@dataclass
class MovedClock:
    """Stands still until `advance`."""

    moment: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC))

    def now(self) -> datetime:
        return self.moment

    def advance(self, by: timedelta) -> None:
        self.moment += by
