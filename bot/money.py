"""What tokens cost, and whether a day's budget is used up."""

import tomllib
from datetime import datetime
from functools import cache
from importlib.resources import files

from bot.model import Usage
from bot.policy import Budget, Rules, Who
from bot.store import Store
from bot.tables import Spent

_MILLION = 1_000_000


@cache
def _prices() -> dict[str, dict[str, float]]:
    table = tomllib.loads(files("bot").joinpath("prices.toml").read_text(encoding="utf-8"))
    return dict(table["models"])


def load_prices() -> None:
    """Read the price table now, so that no turn has to."""
    _prices()


def price(model: str, usage: Usage) -> float:
    """US dollars; 0 for a model that the table does not know."""
    known = [each for each in _prices() if model == each or model.startswith(f"{each}-")]
    if not known:
        return 0.0
    rates = _prices()[max(known, key=len)]
    fresh = usage.prompt - usage.cached
    cost = fresh * rates["prompt"] + usage.cached * rates["cached"] + usage.completion * rates["completion"]
    return cost / _MILLION


async def used_up(store: Store, rules: Rules, who: Who, now: datetime) -> str | None:
    """The sentence for a budget that is spent, the user's first; None while there is room."""
    if who.user in rules.admins:
        return None
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    spent = await store.spent(day, user_id=who.user)
    if over := _over(rules.budget.user, spent):
        return f"Your daily budget of {over} is used up: it starts again at 00:00 UTC."
    if who.guild is not None and rules.budget.guild != Budget():
        spent = await store.spent(day, guild_id=who.guild)
        if over := _over(rules.budget.guild, spent):
            return f"This server's daily budget of {over} is used up: it starts again at 00:00 UTC."
    if rules.budget.bot != Budget() and (over := _over(rules.budget.bot, await store.spent(day))):
        return f"The bot's daily budget of {over} is used up: it starts again at 00:00 UTC."
    return None


def _over(budget: Budget, spent: Spent) -> str | None:
    if budget.tokens is not None and spent.tokens >= budget.tokens:
        return f"{budget.tokens:,} tokens"
    if budget.dollars is not None and spent.dollars >= budget.dollars:
        return f"${budget.dollars:g}"
    if budget.cpu_seconds is not None and spent.cpu_seconds >= budget.cpu_seconds:
        return f"{budget.cpu_seconds:g} seconds of computing"
    return None
