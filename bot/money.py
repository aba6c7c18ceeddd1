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

type Kinds = frozenset[str]
SPEAKING: Kinds = frozenset({"tokens", "dollars"})
"""What a round of the model costs."""
COMPUTING: Kinds = frozenset({"cpu_seconds"})
"""What an execution costs."""
ALL: Kinds = SPEAKING | COMPUTING


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


async def used_up(store: Store, rules: Rules, who: Who, now: datetime, kinds: Kinds = ALL) -> str | None:
    """The sentence for a budget that is spent, the user's first; None while there is room."""
    if who.user in rules.admins:
        return None
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    spent = await store.spent(day, user_id=who.user)
    if over := _over(rules.budget.user, spent, kinds):
        return f"Your daily budget of {over} is used up: it starts again at 00:00 UTC."
    if who.guild is not None and rules.budget.guild != Budget():
        spent = await store.spent(day, guild_id=who.guild)
        if over := _over(rules.budget.guild, spent, kinds):
            return f"This server's daily budget of {over} is used up: it starts again at 00:00 UTC."
    if rules.budget.bot != Budget() and (over := _over(rules.budget.bot, await store.spent(day), kinds)):
        return f"The bot's daily budget of {over} is used up: it starts again at 00:00 UTC."
    return None


def _over(budget: Budget, spent: Spent, kinds: Kinds) -> str | None:
    bounds = {
        "tokens": (budget.tokens, spent.tokens, "{:,} tokens"),
        "dollars": (budget.dollars, spent.dollars, "${:g}"),
        "cpu_seconds": (budget.cpu_seconds, spent.cpu_seconds, "{:g} seconds of computing"),
    }
    for kind, (bound, used, words) in bounds.items():
        if kind in kinds and bound is not None and used >= bound:
            return words.format(bound)
    return None
