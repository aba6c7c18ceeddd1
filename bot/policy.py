"""Who may use the bot, how often and for how much; a TOML file that is read again when it changes."""

import asyncio
import time
import tomllib
from collections.abc import Iterable
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.settings import SetupError

log = structlog.get_logger(__name__)

_LOOK_AGAIN = 1.0


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class People(_Part):
    """Discord ids."""

    users: frozenset[int] = frozenset()
    roles: frozenset[int] = frozenset()
    channels: frozenset[int] = frozenset()
    guilds: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.users or self.roles or self.channels or self.guilds)

    def holds(self, who: "Who") -> bool:
        """Whether any id of a request is listed."""
        return (
            who.user in self.users
            or who.channel in self.channels
            or who.guild in self.guilds
            or not self.roles.isdisjoint(who.roles)
        )


class Budget(_Part):
    """What may be spent in one UTC day; None is without bound."""

    tokens: int | None = Field(None, ge=0)
    dollars: float | None = Field(None, ge=0)
    cpu_seconds: float | None = Field(None, ge=0)


class Budgets(_Part):
    """Daily budgets of each user, of each guild, and of the bot."""

    user: Budget = Budget(tokens=2_000_000, cpu_seconds=3_600)
    guild: Budget = Budget()
    bot: Budget = Budget()


class Cooldown(_Part):
    """A bucket of `burst` requests that fills again with one each `seconds`."""

    burst: int = Field(10, ge=1)
    seconds: float = Field(6.0, ge=0)


class Rules(_Part):
    """The whole file. Block wins over allow; an allow list that is not empty admits nobody else."""

    admins: frozenset[int] = frozenset()
    allow: People = People()
    block: People = People()
    budget: Budgets = Budgets()
    cooldown: Cooldown = Cooldown()

    def admits(self, who: "Who") -> bool:
        """Whether a request may be served; admins always may."""
        if who.user in self.admins:
            return True
        return not self.block.holds(who) and (not self.allow or self.allow.holds(who))


class Who(_Part):
    """Where a request comes from; `channel` is a thread's parent."""

    user: int
    channel: int
    guild: int | None = None
    roles: frozenset[int] = frozenset()

    @classmethod
    def of(cls, user: int, channel: int, guild: int | None, roles: Iterable[int]) -> "Who":
        """From plain ids."""
        return cls(user=user, channel=channel, guild=guild, roles=frozenset(roles))


class Policy:
    """The rules as they are now, and every user's bucket."""

    def __init__(self, path: Path | None, rules: Rules) -> None:
        self._path = path
        self._rules = rules
        self._stamp: int | None = None
        self._looked = 0.0
        self._buckets: dict[int, tuple[float, float]] = {}

    @classmethod
    async def open(cls, path: Path | None) -> "Policy":
        """Read the file; a malformed one raises `SetupError` naming the place."""
        policy = cls(path, Rules())
        if path is not None:
            policy._rules, policy._stamp = await asyncio.to_thread(_read, path)
        return policy

    async def rules(self) -> Rules:
        """The rules, read again when the file has changed; a malformed change is logged and not followed."""
        if self._path is not None and time.monotonic() - self._looked >= _LOOK_AGAIN:
            self._looked = time.monotonic()
            try:
                stamp = await asyncio.to_thread(_stamp, self._path)
                if stamp != self._stamp:
                    self._stamp = stamp
                    self._rules, self._stamp = await asyncio.to_thread(_read, self._path)
            except (SetupError, OSError) as error:
                log.warning("policy not reloaded", error=str(error))
        return self._rules

    async def wait_time(self, user: int) -> float:
        """Take one request out of a user's bucket: 0, or the seconds until one is there."""
        cooldown = (await self.rules()).cooldown
        now = time.monotonic()
        level, at = self._buckets.get(user, (float(cooldown.burst), now))
        if cooldown.seconds:
            level = min(cooldown.burst, level + (now - at) / cooldown.seconds)
        else:
            level = float(cooldown.burst)
        if level < 1:
            self._buckets[user] = (level, now)
            return (1 - level) * cooldown.seconds
        self._buckets[user] = (level - 1, now)
        self._forget_the_full(now, cooldown)
        return 0.0

    def _forget_the_full(self, now: float, cooldown: Cooldown) -> None:
        if len(self._buckets) > 10_000:
            full = cooldown.burst * cooldown.seconds
            self._buckets = {u: (lv, at) for u, (lv, at) in self._buckets.items() if now - at < full}


def _stamp(path: Path) -> int:
    return path.stat().st_mtime_ns


def _read(path: Path) -> tuple[Rules, int]:
    try:
        stamp = _stamp(path)
        return Rules.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))), stamp
    except OSError as error:
        raise SetupError(f"SANDGLASS_POLICY names {path}, which cannot be read: correct it.") from error
    except UnicodeDecodeError as error:
        raise SetupError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise SetupError(f"{path} is no valid TOML ({error}): correct it.") from error
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SetupError(f"{path}: {where} is not usable ({first['msg']}): correct it.") from None
