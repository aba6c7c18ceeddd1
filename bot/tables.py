"""The bot's own small tables, in a file of their own."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Float, Index, String, TypeDecorator
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Moment(TypeDecorator[datetime]):
    """Aware UTC in and out; SQLite keeps no zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """Metadata of the bot's database."""


class TurnRow(Base):
    """A question and everything that the model and its tools said to it."""

    __tablename__ = "turns"

    question_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    channel_id: Mapped[int] = mapped_column(BigInteger, index=True)
    author_id: Mapped[int] = mapped_column(BigInteger, index=True)
    parent_id: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(Moment)
    exchange: Mapped[list[dict[str, Any]]] = mapped_column(JSON)


class MessageRow(Base):
    """A message of ours and the question that it belongs to."""

    __tablename__ = "messages"

    message_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    question_id: Mapped[int] = mapped_column(BigInteger, index=True)
    channel_id: Mapped[int] = mapped_column(BigInteger)


class UploadRow(Base):
    """An attachment of a question and the stored file that it became."""

    __tablename__ = "uploads"

    attachment_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    question_id: Mapped[int] = mapped_column(BigInteger, index=True)
    file_id: Mapped[str] = mapped_column(String(200))


class ShownRow(Base):
    """A message of ours that shows an execution, or some of its files."""

    __tablename__ = "shown"

    message_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    execution_id: Mapped[str] = mapped_column(String(64), index=True)
    channel_id: Mapped[int] = mapped_column(BigInteger)


class LedgerRow(Base):
    """What one turn or execution has cost; never changed."""

    __tablename__ = "ledger"
    __table_args__ = (Index("ledger_user_at", "user_id", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(Moment, index=True)
    user_id: Mapped[int] = mapped_column(BigInteger)
    guild_id: Mapped[int | None] = mapped_column(BigInteger)
    model: Mapped[str | None] = mapped_column(String(200))
    prompt: Mapped[int] = mapped_column(default=0)
    cached: Mapped[int] = mapped_column(default=0)
    completion: Mapped[int] = mapped_column(default=0)
    dollars: Mapped[float] = mapped_column(Float, default=0.0)
    cpu_seconds: Mapped[float] = mapped_column(Float, default=0.0)


class ResetRow(Base):
    """Since when a person's memory in a channel counts."""

    __tablename__ = "resets"

    channel_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(Moment)


class ThreadRow(Base):
    """A thread that the bot opened."""

    __tablename__ = "threads"

    thread_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(BigInteger)


class ChoiceRow(Base):
    """The model that a person has chosen."""

    __tablename__ = "choices"

    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    model: Mapped[str] = mapped_column(String(200))


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """Sums of the ledger."""

    tokens: int
    dollars: float
    cpu_seconds: float
