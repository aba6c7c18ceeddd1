"""How often an owner may start: a bucket of tokens each, filled at an even pace; this process's own count."""

import math
from dataclasses import dataclass

from orchestrator.errors import RateLimited
from orchestrator.lifecycle.ports import Clock

_MOST_BUCKETS = 10_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimit:
    """`per_minute` at once and as many in any minute after; 0 means any number."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def check(self, owner: str) -> None:
        """Raise `RateLimited`, saying when to try again, unless one more may start now."""
        if not self._per_minute or (tokens := self._tokens(owner)) >= 1:
            return
        wait = math.ceil((1 - tokens) * 60 / self._per_minute)
        raise RateLimited(
            f"{self._per_minute} executions in a minute are what one owner may start: try again in {wait} s.",
            retry_after=wait,
        )

    def count(self, owner: str) -> None:
        """One more has started."""
        if not self._per_minute:
            return
        tokens = self._tokens(owner)
        if len(self._buckets) >= _MOST_BUCKETS:
            self._drop_full()
        self._buckets[owner] = _Bucket(tokens - 1, self._clock.monotonic())

    def _tokens(self, owner: str) -> float:
        if (bucket := self._buckets.get(owner)) is None:
            return float(self._per_minute)
        filled = (self._clock.monotonic() - bucket.at) * self._per_minute / 60
        return min(float(self._per_minute), bucket.tokens + filled)

    def _drop_full(self) -> None:
        """A full bucket says what no bucket says."""
        self._buckets = {
            owner: bucket for owner, bucket in self._buckets.items() if self._tokens(owner) < self._per_minute
        }
