"""Rate limits that really count, and the failures that a test orders."""

import fnmatch
import hashlib
import time
from dataclasses import dataclass, field

from .errors import DiscordError, refused

# (method, route) -> (requests, seconds). Discord publishes none of them; these are what clients observe.
WINDOWS = {
    "POST /channels/{channel_id}/messages": (5, 5.0),
    "PATCH /channels/{channel_id}/messages/{message_id}": (5, 5.0),
    "DELETE /channels/{channel_id}/messages/{message_id}": (5, 1.0),
    "POST /channels/{channel_id}/typing": (5, 5.0),
    "POST /webhooks/{webhook_id}/{webhook_token}": (5, 2.0),
    "PATCH /webhooks/{webhook_id}/{webhook_token}/messages/{message_id}": (5, 2.0),
    "PATCH /webhooks/{webhook_id}/{webhook_token}/messages/@original": (5, 2.0),
}
USUAL = (50, 1.0)
GLOBAL_PER_SECOND = 50


@dataclass(kw_only=True)
class Window:
    """A fixed window of one bucket."""

    limit: int
    seconds: float
    used: int = 0
    started: float = 0.0

    def take(self, now: float) -> float:
        """Seconds to wait before the next request is welcome; 0 when this one was."""
        if now - self.started >= self.seconds:
            self.started, self.used = now, 0
        if self.used >= self.limit:
            return self.started + self.seconds - now
        self.used += 1
        return 0.0

    def headers(self, bucket: str, now: float) -> dict[str, str]:
        """X-RateLimit-*."""
        after = max(0.0, self.started + self.seconds - now)
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.limit - self.used),
            "X-RateLimit-Reset": f"{time.time() + after:.3f}",
            "X-RateLimit-Reset-After": f"{after:.3f}",
            "X-RateLimit-Bucket": bucket,
        }


@dataclass(kw_only=True)
class Ordered:
    """A failure that the next `times` matching requests meet."""

    route: str
    status: int | None
    """None: no answer, the connection is lost."""
    times: int
    retry_after: float = 0.0
    everywhere: bool = False

    def matches(self, template: str, path: str) -> bool:
        """By template or real path, `*` welcome."""
        return any(each == self.route or fnmatch.fnmatch(each, self.route) for each in (template, path))


@dataclass(kw_only=True)
class Limits:
    """All buckets. `caused` lists the 429s that the client brought upon itself, without the ordered ones.

    Discord's bucket name does not contain the channel, though each channel is counted by itself. A client
    that takes equal names for one bucket is slower than it must be; `name_per_channel=True` shows how much.
    """

    enforce: bool = True
    name_per_channel: bool = False
    caused: list[str] = field(default_factory=list)
    ordered: list[Ordered] = field(default_factory=list)
    windows: dict[str, tuple[int, float]] = field(default_factory=lambda: dict(WINDOWS))
    _buckets: dict[tuple[str, str], Window] = field(default_factory=dict)
    _global: Window = field(default_factory=lambda: Window(limit=GLOBAL_PER_SECOND, seconds=1.0))

    def admit(self, template: str, path: str, major: str, *, exempt: bool) -> dict[str, str]:
        """Headers for the answer; raises the ordered failure or a 429."""
        now = time.monotonic()
        limit, seconds = self.windows.get(template, USUAL)
        bucket = self._buckets.setdefault((template, major), Window(limit=limit, seconds=seconds))
        name = hashlib.sha256((template + (major if self.name_per_channel else "")).encode()).hexdigest()[:32]
        self.fail_if_ordered(template, path)
        if exempt or not self.enforce:
            return {}
        wait = self._global.take(now)
        if wait:
            self.caused.append(f"{path} (global)")
            raise refusal(wait, scope="global", headers={})
        wait = bucket.take(now)
        if wait:
            self.caused.append(path)
            raise refusal(wait, scope="user", headers=bucket.headers(name, now))
        return bucket.headers(name, now)

    @property
    def pending(self) -> list[Ordered]:
        """Ordered failures that nothing has met yet."""
        return [order for order in self.ordered if order.times > 0]

    def fail_if_ordered(self, template: str, path: str) -> None:
        """Raise what the test ordered for such a request, if anything."""
        for order in self.ordered:
            if order.times > 0 and order.matches(template, path):
                order.times -= 1
                if order.status == 429:
                    raise refusal(
                        order.retry_after, scope="global" if order.everywhere else "shared", headers={}
                    )
                if order.status is None:
                    raise LostError
                if order.status < 500:
                    raise refused(order.status)
                raise InjectedError(order.status)


class LostError(Exception):
    """The test ordered that the connection breaks before the request has any effect."""


class InjectedError(Exception):
    """A failure that the test ordered: 500, 502 ... with the body that a proxy would send."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def refusal(wait: float, *, scope: str, headers: dict[str, str]) -> DiscordError:
    """429, as Discord words it."""
    everywhere = scope == "global"
    more = {"Retry-After": str(max(1, round(wait))), "X-RateLimit-Scope": scope}
    if everywhere:
        more["X-RateLimit-Global"] = "true"
    extra = {"retry_after": round(wait, 3), "global": everywhere}
    return DiscordError(429, 0, "You are being rate limited.", extra=extra, headers={**headers, **more})
