"""The rows of the bot's database, as every part of the store reaches them."""

from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from bot.tables import Base


class Rows:
    """One SQLite file."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def _merge(self, row: Base) -> None:
        async with self._sessions.begin() as session:
            await session.merge(row)
