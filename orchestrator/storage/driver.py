"""aiosqlite with fewer trips to its thread.

SQLAlchemy asks every driver for a cursor, an execution, the rows and a close; aiosqlite wakes its
thread for each of the four, which costs more than the statement. Here a statement is one trip,
and its rows, where it has any, a second one.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import aiosqlite


class LeanConnection(aiosqlite.Connection):
    """An aiosqlite connection whose cursors are made when they are first used."""

    def cursor(self) -> "LeanCursor":  # type: ignore[override]
        """A cursor that costs nothing yet."""
        return LeanCursor(self)


class LeanCursor:
    """The part of a cursor that SQLAlchemy uses; used for one statement."""

    def __init__(self, connection: LeanConnection) -> None:
        self._connection = connection
        self._made: aiosqlite.Cursor | None = None

    async def __aenter__(self) -> Self:
        return self

    @property
    def description(self) -> Any:
        return None if self._made is None else self._made.description

    @property
    def rowcount(self) -> int:
        return -1 if self._made is None else self._made.rowcount

    @property
    def lastrowid(self) -> int | None:
        return None if self._made is None else self._made.lastrowid

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Self:
        self._made = await self._connection.execute(statement, parameters)
        return self

    async def executemany(self, statement: str, parameters: Iterable[Sequence[Any]]) -> Self:
        self._made = await self._connection.executemany(statement, parameters)
        return self

    async def fetchall(self) -> Iterable[Any]:
        return () if self._made is None else await self._made.fetchall()

    async def close(self) -> None:
        """Forget the cursor: all its rows were fetched, so there is nothing to reset."""


def connect(path: Path) -> LeanConnection:
    """An unopened connection in the driver's real autocommit: it never begins or commits by itself."""
    connection = LeanConnection(lambda: sqlite3.connect(path, isolation_level=None), 64)
    # One that was never closed must not keep a dying process alive.
    connection._thread.daemon = True  # noqa: SLF001 - SQLAlchemy does the same for connections it makes
    return connection
