"""What was used, by whom and where; nothing clears it, or a reset would be a new budget."""

from datetime import datetime

from sqlalchemy import func, select

from bot.model import Usage
from bot.rows import Rows
from bot.tables import LedgerRow, Spent
from bot.unbroken import unbroken


class Ledger(Rows):
    """The part of the store that budgets are counted by."""

    @unbroken
    async def book(
        self,
        *,
        user_id: int,
        guild_id: int | None,
        at: datetime,
        model: str | None = None,
        usage: Usage | None = None,
        dollars: float = 0.0,
        cpu_seconds: float = 0.0,
    ) -> None:
        """Add to the ledger."""
        used = usage or Usage()
        await self._merge(
            LedgerRow(
                at=at,
                user_id=user_id,
                guild_id=guild_id,
                model=model,
                prompt=used.prompt,
                cached=used.cached,
                completion=used.completion,
                dollars=dollars,
                cpu_seconds=cpu_seconds,
            )
        )

    @unbroken
    async def spent(
        self, since: datetime, *, user_id: int | None = None, guild_id: int | None = None
    ) -> Spent:
        """What was spent since a moment: by a person, in a guild, or by all."""
        query = select(
            func.coalesce(func.sum(LedgerRow.prompt + LedgerRow.completion), 0),
            func.coalesce(func.sum(LedgerRow.dollars), 0.0),
            func.coalesce(func.sum(LedgerRow.cpu_seconds), 0.0),
        ).where(LedgerRow.at >= since)
        if user_id is not None:
            query = query.where(LedgerRow.user_id == user_id)
        if guild_id is not None:
            query = query.where(LedgerRow.guild_id == guild_id)
        async with self._sessions() as session:
            tokens, dollars, seconds = (await session.execute(query)).one()
        return Spent(tokens=tokens, dollars=dollars, cpu_seconds=seconds)
