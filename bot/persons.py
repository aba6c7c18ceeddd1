"""What is remembered of one person: shown as a whole, and forgotten as a whole."""

import asyncio
import time
from typing import Any

from sqlalchemy import ColumnElement, delete, select, update

from bot.rows import Rows
from bot.tables import (
    Base,
    ChoiceRow,
    LedgerRow,
    MessageRow,
    ResetRow,
    ShownRow,
    ThreadRow,
    TurnRow,
    UploadRow,
)
from bot.unbroken import unbroken

_NOBODY = 0
"""Whose a thread is that was opened by somebody who wants to be forgotten."""
_LEDGER = ("guild_id", "model", "prompt", "cached", "completion", "dollars", "cpu_seconds")
_ERASED_AT_ONCE = 50
"""Questions of one transaction: each is overwritten, and whoever else writes waits for it."""


class Persons(Rows):
    """The part of the store that a person may ask for, and have erased."""

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


def _conversation(row: TurnRow) -> dict[str, Any]:
    at = row.created_at.isoformat()
    return _figures(row, "question_id", "channel_id") | {"at": at, "messages": row.exchange}


def _figures(row: Base, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _is_upload_of(user_id: int) -> ColumnElement[bool]:
    """By the id of the file, for a question that was never answered is not remembered."""
    return UploadRow.file_id.startswith(f"{user_id}_", autoescape=True)
