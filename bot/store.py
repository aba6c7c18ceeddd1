"""What the bot remembers: conversations by message id, and a ledger that nothing clears."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete, event, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from bot.history import History, as_seen_by
from bot.ledger import Ledger
from bot.memory import dumped, loaded
from bot.model import Message
from bot.persons import Persons
from bot.settings import SetupError
from bot.tables import Base, MessageRow, ResetRow, ShownRow, ThreadRow, TurnRow, UploadRow
from bot.unbroken import unbroken

_LONGEST_CHAIN = 200
_CONNECTIONS = 4
"""Each is a thread with a cache of pages; statements take a millisecond, and a crowd waits its turn."""


class Store(Ledger, Persons):
    """One SQLite file; made by `open_store`."""

    @unbroken
    async def remember(
        self,
        *,
        question_id: int,
        channel_id: int,
        author_id: int,
        parent_id: int | None,
        at: datetime,
        exchange: Sequence[Message],
    ) -> None:
        """Write a turn, or what it has become after an edit of its question."""
        await self._merge(
            TurnRow(
                question_id=question_id,
                channel_id=channel_id,
                author_id=author_id,
                parent_id=parent_id,
                created_at=at,
                exchange=dumped(exchange),
            )
        )

    @unbroken
    async def ours(self, message_id: int, question_id: int, channel_id: int) -> None:
        """Note that a message of ours belongs to a question."""
        await self._merge(MessageRow(message_id=message_id, question_id=question_id, channel_id=channel_id))

    @unbroken
    async def question_of(self, message_id: int) -> int | None:
        """The question that a message of ours answers; None for anything else."""
        async with self._sessions() as session:
            row = await session.get(MessageRow, message_id)
        return row.question_id if row else None

    @unbroken
    async def answers_to(self, question_id: int) -> list[tuple[int, int]]:
        """(channel, message) of everything that we wrote to a question, oldest first."""
        query = select(MessageRow.channel_id, MessageRow.message_id).where(
            MessageRow.question_id == question_id
        )
        async with self._sessions() as session:
            found = await session.execute(query.order_by(MessageRow.message_id))
            return [(channel, message) for channel, message in found]

    @unbroken
    async def shown(self, execution_id: str, channel_id: int, message_id: int) -> None:
        """Note that a message of ours shows an execution."""
        await self._merge(ShownRow(message_id=message_id, execution_id=execution_id, channel_id=channel_id))

    @unbroken
    async def shown_of(self, execution_id: str) -> list[tuple[int, int]]:
        """(channel, message) of everything that shows an execution, oldest first."""
        query = select(ShownRow.channel_id, ShownRow.message_id).where(ShownRow.execution_id == execution_id)
        async with self._sessions() as session:
            found = await session.execute(query.order_by(ShownRow.message_id))
            return [(channel, message) for channel, message in found]

    @unbroken
    async def forget_answers(self, question_id: int) -> None:
        """Drop a question, its answer and their messages from the memory."""
        async with self._sessions.begin() as session:
            await session.execute(delete(MessageRow).where(MessageRow.question_id == question_id))
            await session.execute(delete(TurnRow).where(TurnRow.question_id == question_id))

    @unbroken
    async def chain(
        self, question_id: int | None, since: datetime | None = None, *, reader: int | None = None
    ) -> History:
        """The conversation that ends with a question, along the replies, as `reader` may see it."""
        turns: list[TurnRow] = []
        async with self._sessions() as session:
            while question_id is not None and len(turns) <= _LONGEST_CHAIN:
                row = await session.get(TurnRow, question_id)
                if row is None or (since is not None and row.created_at <= since):
                    break
                turns.append(row)
                question_id = row.parent_id
        return _history(turns, reader)

    @unbroken
    async def room(
        self,
        channel_id: int,
        since: datetime | None = None,
        before: int | None = None,
        *,
        reader: int | None = None,
    ) -> History:
        """The conversation of a DM or of a thread of ours, as `reader` may see it."""
        query = select(TurnRow).where(TurnRow.channel_id == channel_id)
        if since is not None:
            query = query.where(TurnRow.created_at > since)
        if before is not None:
            query = query.where(TurnRow.question_id < before)
        newest_first = query.order_by(TurnRow.question_id.desc()).limit(_LONGEST_CHAIN + 1)
        async with self._sessions() as session:
            return _history((await session.scalars(newest_first)).all(), reader)

    @unbroken
    async def author_of(self, question_id: int) -> int | None:
        """Who asked a question; None where it is not remembered."""
        async with self._sessions() as session:
            row = await session.get(TurnRow, question_id)
        return row.author_id if row else None

    @unbroken
    async def uploaded(self, question_id: int, attachment_id: int, file_id: str) -> None:
        """Note as what an attachment of a question was stored."""
        row = UploadRow(attachment_id=attachment_id, question_id=question_id, file_id=file_id)
        await self._merge(row)

    @unbroken
    async def uploads_of(self, question_id: int) -> dict[int, str]:
        """Attachment id -> file id of what was stored with a question."""
        query = select(UploadRow.attachment_id, UploadRow.file_id).where(UploadRow.question_id == question_id)
        async with self._sessions() as session:
            return {row.attachment_id: row.file_id for row in await session.execute(query)}

    @unbroken
    async def reset(self, channel_id: int, user_id: int, at: datetime) -> None:
        """Let a person's memory in a channel begin anew."""
        await self._merge(ResetRow(channel_id=channel_id, user_id=user_id, at=at))

    @unbroken
    async def since(self, channel_id: int, user_id: int) -> datetime | None:
        """The moment of the last reset."""
        async with self._sessions() as session:
            row = await session.get(ResetRow, (channel_id, user_id))
        return row.at if row else None

    @unbroken
    async def opened(self, thread_id: int, user_id: int) -> None:
        """Note a thread that we opened."""
        statement = insert(ThreadRow).values(thread_id=thread_id, user_id=user_id).on_conflict_do_nothing()
        async with self._sessions.begin() as session:
            await session.execute(statement)

    @unbroken
    async def is_ours(self, thread_id: int) -> bool:
        """Whether we opened this thread."""
        async with self._sessions() as session:
            return await session.get(ThreadRow, thread_id) is not None

    @unbroken
    async def conversations(self, since: int, most: int) -> list[tuple[int, int]]:
        """(channel, newest question) wherever we spoke later than the id `since`, the liveliest first.

        A question and not our answer to it: we may answer long after we have stopped to listen.
        """
        newest = func.max(MessageRow.question_id)
        spoken = (
            select(MessageRow.channel_id, newest)
            .where(MessageRow.question_id > since)
            .group_by(MessageRow.channel_id)
            .order_by(newest.desc())
        )
        opened = (
            select(ThreadRow.thread_id, ThreadRow.thread_id)
            .where(ThreadRow.thread_id > since)
            .order_by(ThreadRow.thread_id.desc())
        )
        async with self._sessions() as session:
            marks = {
                channel_id: mark
                for query in (opened, spoken)
                for channel_id, mark in await session.execute(query.limit(most))
            }
        return sorted(marks.items(), key=lambda each: each[1], reverse=True)[:most]


def _history(newest_first: Sequence[TurnRow], reader: int | None) -> History:
    kept = newest_first[:_LONGEST_CHAIN]
    return History(
        messages=tuple(
            message
            for row in reversed(kept)
            for message in as_seen_by(reader, row.author_id, tuple(loaded(row.exchange)))
        ),
        cut=len(newest_first) > _LONGEST_CHAIN,
    )


@asynccontextmanager
async def open_store(path: Path) -> AsyncIterator[Store]:
    """Open the file, made with its tables where it is missing; raises `SetupError` where that cannot be."""
    # In a thread: making the engine looks at the disk and imports the dialect.
    engine = await asyncio.to_thread(
        create_async_engine,
        f"sqlite+aiosqlite:///{path}",
        hide_parameters=True,
        pool_size=_CONNECTIONS,
        max_overflow=0,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA busy_timeout=5000")
        cursor.execute("PRAGMA secure_delete=ON")
        cursor.close()

    try:
        try:
            async with engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
        except (SQLAlchemyError, OSError) as error:
            why = getattr(error, "orig", None) or type(error).__name__
            raise SetupError(
                f"The bot's database {path} cannot be used ({why}): move a broken file away, or set "
                "SANDGLASS_BOT_DATABASE to one in a directory that can be written."
            ) from error
        yield Store(engine)
    finally:
        await engine.dispose()
