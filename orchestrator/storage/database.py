"""The index: one SQLite file in WAL mode, short transactions, and a sentence when it fails."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from orchestrator.errors import StorageFault
from orchestrator.storage.driver import connect
from orchestrator.storage.exclusive import exclusive

HEAD = "0005"
"""The newest revision in `migrations/versions`; a test compares."""

BUSY_MS = 10_000
CONNECTIONS = 8

_PRAGMAS = (
    f"PRAGMA busy_timeout={BUSY_MS}",
    "PRAGMA journal_mode=WAL",
    "PRAGMA foreign_keys=ON",
    # What is deleted is overwritten: nobody reads somebody's forgotten code out of free pages.
    "PRAGMA secure_delete=ON",
)
_LOG_SECONDS = 2.0
"""How long readers may keep the log from being emptied."""
_DURABLE = "PRAGMA synchronous=FULL"
"""A committed result survives a power cut, not only a crash of ours."""
_FLEETING = "PRAGMA synchronous=NORMAL"
"""Survives a crash of ours: what a power cut takes with it says of a container that died of the same cut."""
_BEGIN = "sandglass_begin"


class Database:
    """An open index. `session()` reads one snapshot, `begin()` is one writing transaction."""

    def __init__(self, engine: AsyncEngine, fleeting: AsyncEngine, path: Path) -> None:
        self.path = path
        self._readers = engine
        self._fleeting = fleeting
        self._writers = engine.execution_options(**{_BEGIN: "IMMEDIATE"})
        self._fleeting_writers = fleeting.execution_options(**{_BEGIN: "IMMEDIATE"})
        # SQLite has one writer and wakes those who wait by polling; among ourselves we wait in order instead.
        # Right and wrong are still settled in the file, which other processes write to as well.
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path) -> "Database":
        """Open the index at `path`, made or upgraded first where it is not at head; raises `StorageFault`."""
        with storage_faults(path):
            await asyncio.to_thread(upgrade, path)
        # In a thread because the dialect asks for the working directory.
        durable = await asyncio.to_thread(_engine, path, _DURABLE, CONNECTIONS)
        return cls(durable, await asyncio.to_thread(_engine, path, _FLEETING, 1), path)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection that sees one snapshot; nothing written through it is kept."""
        with storage_faults(self.path):
            async with self._readers.connect() as connection:
                yield connection

    @asynccontextmanager
    async def begin(self, *, durable: bool = True) -> AsyncIterator[AsyncConnection]:
        """Yield a connection in one BEGIN IMMEDIATE transaction, committed at the end, undone by an error.

        One that is not `durable` is not waited for by the disk: a power cut may take it back.
        """
        writers = self._writers if durable else self._fleeting_writers
        with storage_faults(self.path):
            async with self._turn, writers.begin() as connection:
                yield connection

    async def empty_log(self) -> bool:
        """Move the write-ahead log into the file and cut it: it repeats what was there before a deletion.

        False where somebody has it for too long; then a later checkpoint overwrites it.
        """
        with storage_faults(self.path):
            async with self._turn:
                return await to_the_end(asyncio.to_thread(_empty_log, self.path))

    async def at_head(self) -> bool:
        """True where the schema is the one that this code was written for."""
        async with self.session() as connection:
            revision = await connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        return bool(revision == HEAD)

    async def close(self) -> None:
        """Close every connection and its thread; an open index would keep the process alive."""
        await self._readers.dispose()
        await self._fleeting.dispose()


def _engine(path: Path, synchronous: str, connections: int) -> AsyncEngine:
    engine = create_async_engine(
        sa.URL.create("sqlite+aiosqlite", database=str(path)),
        async_creator=lambda: connect(path),
        pool_size=connections,
        max_overflow=0,
    )
    _listen(engine.sync_engine, synchronous)
    return engine


def _empty_log(path: Path) -> bool:
    """On a connection of its own: whoever checkpoints must be in no transaction. Blocks."""
    with closing(sqlite3.connect(path, timeout=_LOG_SECONDS, isolation_level=None)) as connection:
        try:
            (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise
            return False
    return not busy


def upgrade(path: Path) -> bool:
    """Bring the index at `path` to head, making it if needed; False where it was there already. Blocks."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StorageFault(_sentence(f"unable to open: {error.strerror}", path)) from error
    revision = _revision(path)
    if revision == HEAD:
        return False
    # Alembic costs a fifth of a second to import: only now.
    from alembic import command
    from alembic.config import Config

    import migrations

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        connect_args={"isolation_level": None},
        poolclass=sa.pool.NullPool,
    )
    _listen(engine, _DURABLE)
    try:
        # Locked before the revision is read: of two first starts one waits, then has nothing to do. By a
        # file, because SQLite does not wait for its own lock when a new index is made a WAL one.
        with (
            exclusive(path.with_name(f"{path.name}.lock")),
            engine.execution_options(**{_BEGIN: "IMMEDIATE"}).begin() as connection,
        ):
            config.attributes["connection"] = connection
            _refuse_newer(connection, config, path)
            command.upgrade(config, "head")
    finally:
        engine.dispose()
    return True


async def to_the_end[T](work: Coroutine[Any, Any, T]) -> T:
    """Await work that must not stop halfway; a cancellation goes on once it is done."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise


@contextmanager
def storage_faults(path: Path) -> Iterator[None]:
    """Turn what the driver says into a `StorageFault`; a broken constraint stays `IntegrityError`."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise StorageFault(_sentence(str(error.orig), path)) from error
    except sqlite3.DatabaseError as error:
        raise StorageFault(_sentence(str(error), path)) from error
    except PoolTimeout as error:
        raise StorageFault(
            f"No connection to the index {path} came free in 30 s: run fewer things at once."
        ) from error


def _sentence(message: str, path: Path) -> str:
    lowered = message.lower()
    if "locked" in lowered or "busy" in lowered:
        return f"The index {path} is locked by another process; end that process, or try again in a moment."
    if "full" in lowered or "no space" in lowered or "quota" in lowered:
        return f"The disk under {path} is full; free some room (`sandglass sweep` removes what has expired)."
    if any(word in lowered for word in ("readonly", "read-only", "unable to open")):
        return f"The index {path} cannot be opened for writing; check that its directory exists and is ours."
    if "malformed" in lowered or "not a database" in lowered:
        return f"The index {path} is damaged; restore a backup, or move it away to start with an empty one."
    return f"The index {path} refused an operation ({message}); `sandglass doctor` says more."


def _revision(path: Path) -> str | None:
    with closing(sqlite3.connect(path, timeout=BUSY_MS / 1000)) as connection:
        made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if made else None
    return str(row[0]) if row else None


def _refuse_newer(connection: sa.Connection, config: Any, path: Path) -> None:
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    revision = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise StorageFault(
            f"The index {path} is of a newer Sandglass (revision {revision}); install that one again."
        )


def _listen(engine: sa.Engine, synchronous: str) -> None:
    @sa.event.listens_for(engine, "connect")
    def _set_pragmas(dbapi_connection: Any, _record: object) -> None:
        cursor = dbapi_connection.cursor()
        for pragma in (*_PRAGMAS, synchronous):
            cursor.execute(pragma)
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin_explicitly(connection: sa.Connection) -> None:
        mode = connection.get_execution_options().get(_BEGIN, "DEFERRED")
        # On the driver's own cursor: through SQLAlchemy's it costs as much as the statement that follows.
        connection.connection.cursor().execute(f"BEGIN {mode}")
