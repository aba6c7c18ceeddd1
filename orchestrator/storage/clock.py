"""The one thing that storage asks about time; the lifecycle's larger clock satisfies it."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Aware UTC, injected, so that tests can move it."""

    def now(self) -> datetime: ...
