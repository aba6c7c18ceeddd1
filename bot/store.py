"""What the bot remembers: conversations by message id, and a ledger that nothing clears."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, delete, event, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from bot.history import History, as_seen_by
from bot.memory import dumped, loaded
from bot.model import Message, Usage
from bot.settings import SetupError
from bot.tables import (
    Base,
    ChoiceRow,
    LedgerRow,
    MessageRow,
    ResetRow,
    ShownRow,
    Spent,
    ThreadRow,
    TurnRow,
    UploadRow,
)
from bot.unbroken import unbroken

_LONGEST_CHAIN = 200
_NOBODY = 0
"""Whose a thread is that was opened by somebody who wants to be forgotten."""
_LEDGER = ("guild_id", "model", "prompt", "cached", "completion", "dollars", "cpu_seconds")
_ERASED_AT_ONCE = 50
"""Questions of one transaction: each is overwritten, and whoever else writes waits for it."""
_CONNECTIONS = 4
"""Each is a thread with a cache of pages; statements take a millisecond, and a crowd waits its turn."""


class Store:
    """One SQLite file; made by `open_store`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

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

    @unbroken
    async def choose(self, user_id: int, model: str) -> None:
        """Note a person's model."""
        await self._merge(ChoiceRow(user_id=user_id, model=model))

    @unbroken
    async def choice(self, user_id: int) -> str | None:
        """The model that a person has chosen."""
        async with self._sessions() as session:
            row = await session.get(ChoiceRow, user_id)
        return row.model if row else None

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

    @unbroken
    async def export(
        self, user_id: int, *, after: int | None = None, at_most: int | None = None
    ) -> dict[str, Any]:
        """Everything that is remembered of a person, as JSON; of the conversations `at_most`, oldest first.

        With `after`, only conversations, those that follow this question.
        """
        asked = select(TurnRow).where(TurnRow.author_id == user_id, TurnRow.question_id > (after or 0))
        async with self._sessions() as session:
            turns = (await session.scalars(asked.order_by(TurnRow.question_id).limit(at_most))).all()
            page = {"conversations": [_conversation(row) for row in turns]}
            if after is not None:
                return page
            choice = await session.get(ChoiceRow, user_id)
            threads = await session.scalars(select(ThreadRow).where(ThreadRow.user_id == user_id))
            resets = await session.scalars(select(ResetRow).where(ResetRow.user_id == user_id))
            uploads = await session.scalars(select(UploadRow).where(_is_upload_of(user_id)))
            ledger = await session.scalars(select(LedgerRow).where(LedgerRow.user_id == user_id))
            return page | {
                "model": choice.model if choice else None,
                "threads": [row.thread_id for row in threads],
                "resets": [{"channel_id": row.channel_id, "at": row.at.isoformat()} for row in resets],
                "uploads": [_figures(row, "question_id", "attachment_id", "file_id") for row in uploads],
                "ledger": [{"at": row.at.isoformat()} | _figures(row, *_LEDGER) for row in ledger],
            }

    @unbroken
    async def erase(self, user_id: int) -> int:
        """Forget a person's conversations and choices, not the ledger; return how many turns.

        A thread of ours stays one, whoever opened it. No byte of what was said is left in the file.
        """
        count, gone = 0, _ERASED_AT_ONCE
        while gone == _ERASED_AT_ONCE:
            begun = time.monotonic()
            gone = await self._erase_some(user_id)
            count += gone
            await asyncio.sleep(time.monotonic() - begun)  # whoever asks again and again finds it free
        async with self._sessions.begin() as session:
            await session.execute(delete(UploadRow).where(_is_upload_of(user_id)))
            await session.execute(delete(ChoiceRow).where(ChoiceRow.user_id == user_id))
            await session.execute(delete(ResetRow).where(ResetRow.user_id == user_id))
            await session.execute(
                update(ThreadRow).where(ThreadRow.user_id == user_id).values(user_id=_NOBODY)
            )
        async with self._engine.connect() as connection:
            # The log repeats what was there before; where somebody reads for too long, a later one cuts it.
            await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return count

    async def _erase_some(self, user_id: int) -> int:
        async with self._sessions.begin() as session:
            asked = select(TurnRow.question_id).where(TurnRow.author_id == user_id)
            mine = (await session.scalars(asked.limit(_ERASED_AT_ONCE))).all()
            written = select(MessageRow.message_id).where(MessageRow.question_id.in_(mine))
            await session.execute(delete(ShownRow).where(ShownRow.message_id.in_(written)))
            for row in (MessageRow, UploadRow, TurnRow):
                await session.execute(delete(row).where(row.question_id.in_(mine)))
        return len(mine)

    async def _merge(self, row: Base) -> None:
        async with self._sessions.begin() as session:
            await session.merge(row)


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


def _conversation(row: TurnRow) -> dict[str, Any]:
    at = row.created_at.isoformat()
    return _figures(row, "question_id", "channel_id") | {"at": at, "messages": row.exchange}


def _figures(row: Base, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _is_upload_of(user_id: int) -> ColumnElement[bool]:
    """By the id of the file, for a question that was never answered is not remembered."""
    return UploadRow.file_id.startswith(f"{user_id}_", autoescape=True)


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
