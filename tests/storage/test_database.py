"""The index opens at head, keeps its promises to the disk, and says one sentence when it cannot."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import migrations
from orchestrator.errors import StorageFault
from orchestrator.storage import database as module
from orchestrator.storage.database import HEAD, Database, upgrade
from orchestrator.storage.tables import metadata, owners


def _owner(name: str, uid: int, at: datetime | None = None) -> dict[str, object]:
    return {"id": name, "uid": uid, "created_at": at or datetime(2026, 1, 1, tzinfo=UTC)}


def test_head_is_the_newest_migration() -> None:
    """The revision that opening looks for is the one that the migrations end in."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_migrations_make_exactly_the_tables_of_the_code(tmp_path: Path) -> None:
    """What the migrations build and what the code queries do not differ in a column or an index."""
    upgrade(tmp_path / "index.sqlite3")
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'index.sqlite3'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)]
)
async def test_every_connection_is_durable_and_strict(database: Database, pragma: str, value: object) -> None:
    """WAL, FULL and foreign keys hold on the connections that are really used."""
    async with database.session() as connection:
        assert await connection.scalar(sa.text(f"PRAGMA {pragma}")) == value


@pytest.mark.parametrize(("durable", "value"), [(True, 2), (False, 1)])
async def test_what_is_not_durable_is_not_waited_for(
    database: Database, *, durable: bool, value: int
) -> None:
    """FULL waits for the disk at every commit, NORMAL leaves that to a later one."""
    async with database.begin(durable=durable) as connection:
        assert await connection.scalar(sa.text("PRAGMA synchronous")) == value


async def test_two_first_starts_make_one_schema(tmp_path: Path) -> None:
    """Processes that open a new index at once all end at head."""
    program = (
        "from pathlib import Path; from orchestrator.storage.database import upgrade;"
        f"upgrade(Path({str(tmp_path / 'i')!r}))"
    )
    starts = [await asyncio.create_subprocess_exec(sys.executable, "-c", program) for _ in range(4)]
    assert [await start.wait() for start in starts] == [0] * 4
    database = await Database.open(tmp_path / "i")
    assert await database.at_head()
    await database.close()


def test_opening_an_index_at_head_does_not_import_alembic(tmp_path: Path) -> None:
    """The normal start does not pay for the migrations."""
    upgrade(tmp_path / "i")
    program = (
        "import sys; from pathlib import Path; from orchestrator.storage.database import upgrade;"
        f"upgrade(Path({str(tmp_path / 'i')!r})); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_the_index_is_readable_by_us_alone(database: Database) -> None:
    """Nobody else on the host may read the code that owners ran."""
    assert database.path.stat().st_mode & 0o777 == 0o600


async def test_an_error_undoes_the_whole_transaction(database: Database) -> None:
    """A transaction that ends in an error leaves nothing, its first statement included."""
    with pytest.raises(RuntimeError):  # noqa: PT012 - the whole transaction is what raises
        async with database.begin() as connection:
            await connection.execute(sa.insert(owners), _owner("a", 1))
            raise RuntimeError
    async with database.session() as connection:
        assert (await connection.execute(sa.select(owners))).all() == []


async def test_a_reader_sees_one_snapshot(database: Database) -> None:
    """What is committed during a session is not seen by it, and blocks nobody."""
    count = sa.select(sa.func.count()).select_from(owners)
    async with database.session() as reader:
        assert await reader.scalar(count) == 0
        async with database.begin() as writer:
            await writer.execute(sa.insert(owners), _owner("a", 1))
        assert await reader.scalar(count) == 0
    async with database.session() as reader:
        assert await reader.scalar(count) == 1


async def test_many_writers_at_once_all_succeed(database: Database) -> None:
    """Writers wait for one another instead of failing on the lock."""

    async def write(number: int) -> None:
        async with database.begin() as connection:
            highest = await connection.scalar(sa.select(sa.func.max(owners.c.uid)))
            await connection.execute(sa.insert(owners), _owner(str(number), (highest or 0) + 1))

    await asyncio.gather(*(write(number) for number in range(40)))
    async with database.session() as connection:
        assert await connection.scalar(sa.select(sa.func.max(owners.c.uid))) == 40


async def test_a_cancelled_writer_does_not_hold_the_lock(database: Database) -> None:
    """Cancelling a task in the middle of its transaction undoes it and lets the next one in."""
    inside = asyncio.Event()

    async def hang() -> None:
        async with database.begin() as connection:
            await connection.execute(sa.insert(owners), _owner("a", 1))
            inside.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(hang())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.begin() as connection:
        await connection.execute(sa.insert(owners), _owner("b", 1))
    async with database.session() as connection:
        assert (await connection.scalars(sa.select(owners.c.id))).all() == ["b"]


async def test_a_locked_index_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that another process will not let go of is a StorageFault with a remedy."""
    monkeypatch.setattr(module, "_PRAGMAS", ("PRAGMA busy_timeout=50",))
    database = await Database.open(tmp_path / "index.sqlite3")
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageFault, match="locked by another process; end that process"):
            async with database.begin():
                pass
    await database.close()


async def test_a_full_disk_is_one_sentence(database: Database) -> None:
    """SQLite's word for no more room becomes a StorageFault that says what to do."""
    with pytest.raises(StorageFault, match="is full; free some room"):  # noqa: PT012 - as above
        async with database.begin() as connection:
            pages = await connection.scalar(sa.text("PRAGMA page_count"))
            await connection.execute(sa.text(f"PRAGMA max_page_count={pages}"))
            await connection.execute(sa.insert(owners), [_owner(f"{n}" * 900, n) for n in range(50)])


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"\x00" * 4096])
async def test_a_damaged_index_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    """Something else in the place of the index is refused, and left as it is."""
    path = tmp_path / "index.sqlite3"
    path.write_bytes(content)
    with pytest.raises(StorageFault, match="is damaged; restore a backup"):
        await Database.open(path)
    assert path.read_bytes() == content


async def test_a_directory_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    """A data directory that was never made is named."""
    with pytest.raises(StorageFault, match="cannot be opened for writing; check that its directory exists"):
        await Database.open(tmp_path / "nowhere" / "index.sqlite3")


async def test_a_newer_index_is_refused(tmp_path: Path) -> None:
    """A revision that this code does not know is not touched."""
    path = tmp_path / "index.sqlite3"
    await (await Database.open(path)).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StorageFault, match="newer Sandglass"):
        await Database.open(path)


async def test_moments_come_back_aware_and_compare_in_sql(database: Database) -> None:
    """A moment given in any zone is stored in UTC, so that the index orders it right."""
    noon = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
    tokyo = (noon + timedelta(seconds=1)).astimezone(timezone(timedelta(hours=9)))
    async with database.begin() as connection:
        await connection.execute(sa.insert(owners), [_owner("utc", 1, noon), _owner("tokyo", 2, tokyo)])
    async with database.session() as connection:
        later = sa.select(owners).where(owners.c.created_at > noon + timedelta(microseconds=1))
        rows = (await connection.execute(later)).all()
    assert [row.id for row in rows] == ["tokyo"]
    assert rows[0].created_at == tokyo
    assert rows[0].created_at.utcoffset() == timedelta()


async def test_a_naive_moment_is_refused(database: Database) -> None:
    """A local time without a zone never reaches the index."""
    with pytest.raises(sa.exc.StatementError, match="naive datetime"):
        async with database.begin() as connection:
            await connection.execute(sa.insert(owners), _owner("a", 1, datetime(2026, 1, 1)))  # noqa: DTZ001
