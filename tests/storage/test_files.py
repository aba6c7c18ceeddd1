"""An owner's files: found by id and by name, gone at once when they expire, and nobody else's business."""

import asyncio
import itertools
import re
import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from orchestrator.errors import FileNotFoundOrExpired, FileTooLarge, InvalidRequest, StorageFault
from orchestrator.storage.blobs import DirectoryBlobs
from orchestrator.storage.database import Database
from orchestrator.storage.files import SqlFiles
from orchestrator.storage.tables import files as table
from tests.storage.moved_clock import TTL, MovedClock

READERS = ["get", "read", "open", "delete", "extend"]


async def test_a_file_is_found_by_id_and_by_name(files: SqlFiles, clock: MovedClock) -> None:
    """What was put is described, read and located, whichever way it is named."""
    put = await files.put("123", "sales.csv", b"a,b\n1,2\n")
    assert re.fullmatch(r"123_\d+_[0-9a-f]{8}", put.file_id)
    assert (put.filename, put.path, put.type, put.media_type, put.size) == ("sales.csv",) * 2 + (
        "data",
        "text/csv",
        8,
    )
    assert (put.created_at, put.expires_at) == (clock.now(), clock.now() + TTL)
    for ref in (put.file_id, "sales.csv"):
        assert await files.get(ref, "123") == put
        assert await files.read(ref, "123") == b"a,b\n1,2\n"
        assert (await files.open(ref, "123")).read_bytes() == b"a,b\n1,2\n"


async def test_of_equal_names_the_newest_is_meant(files: SqlFiles) -> None:
    """Two files of one name do not collide, even in one moment; the name means the later one."""
    first, second = [await files.put("123", "a.txt", text) for text in (b"1", b"2")]
    assert await files.read("a.txt", "123") == b"2"
    assert await files.read(first.file_id, "123") == b"1"
    assert await files.list("123") == [second, first]


async def test_an_id_goes_before_a_name(files: SqlFiles) -> None:
    """A file that is named like another one's id does not hide it."""
    first = await files.put("123", "a.txt", b"1")
    await files.put("123", first.file_id, b"impostor")
    assert await files.read(first.file_id, "123") == b"1"


async def test_a_path_is_a_reference(files: SqlFiles, database: Database) -> None:
    """A harvested file is found by its path where its name alone means another."""
    deep = await files.put("123", "a.csv", b"deep")
    async with database.begin() as connection:
        await connection.execute(sa.update(table).values(path="out/a.csv"))
    await files.put("123", "a.csv", b"top")
    assert (await files.get("out/a.csv", "123")).file_id == deep.file_id


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("why", ["unknown", "foreign", "expired", "deleted"])
async def test_what_is_not_there_is_told_the_same_way(
    files: SqlFiles, clock: MovedClock, reader: str, why: str
) -> None:
    """Unknown, foreign, expired and deleted cannot be told apart, and what is there is listed."""
    ref = (await files.put("456" if why == "foreign" else "123", "gone.txt", b"x")).file_id
    if why == "unknown":
        ref = "123_1700000000_00000000"
    elif why == "expired":
        clock.advance(TTL)
    elif why == "deleted":
        await files.delete(ref, "123")
    await files.put("123", "here.txt", b"y")
    with pytest.raises(FileNotFoundOrExpired) as caught:
        await getattr(files, reader)(ref, "123")
    assert str(caught.value).startswith(f"File not found or expired: {ref!r}. Available files: here.txt (")
    assert "456" not in caught.value.available
    assert isinstance(caught.value, FileNotFoundError)


async def test_an_expired_file_is_gone_for_every_reader_at_once(files: SqlFiles, clock: MovedClock) -> None:
    """At the very moment of its expiry a file is in no list, no total and no execution."""
    await files.put("123", "a.txt", b"abc")
    clock.advance(TTL - timedelta(microseconds=1))
    assert (len(await files.list("123")), await files.totals()) == (1, (1, 3))
    clock.advance(timedelta(microseconds=1))
    assert (await files.list("123"), await files.visible("123", None)) == ([], [])
    assert (await files.totals(), await files.totals("123")) == ((0, 0), (0, 0))
    with pytest.raises(FileNotFoundOrExpired, match="Available files: none"):
        await files.visible("123", ["a.txt"])


async def test_without_a_lifetime_files_stay(
    database: Database, blobs: DirectoryBlobs, clock: MovedClock
) -> None:
    """A lifetime of never is kept, by extending too."""
    files = SqlFiles(database, blobs, clock, None, max_bytes=10)
    await files.put("123", "a.txt", b"abc")
    clock.advance(timedelta(days=10_000))
    assert (await files.get("a.txt", "123")).expires_at is None
    assert (await files.extend("a.txt", "123", timedelta(hours=1))).expires_at is None


async def test_extending_counts_from_now_and_never_shortens(files: SqlFiles, clock: MovedClock) -> None:
    """None is a whole lifetime, a time is from now, and what a file already has is not taken away."""
    await files.put("123", "a.txt", b"abc")
    clock.advance(timedelta(hours=40))
    assert (await files.extend("a.txt", "123", timedelta(hours=1))).expires_at == clock.now() + timedelta(
        hours=8
    )
    assert (await files.extend("a.txt", "123")).expires_at == clock.now() + TTL
    assert (await files.get("a.txt", "123")).expires_at == clock.now() + TTL
    with pytest.raises(InvalidRequest):
        await files.extend("a.txt", "123", timedelta(0))


async def test_visible_is_what_was_named_once_and_newest_first(files: SqlFiles) -> None:
    """References may repeat and mix; None is everything, an empty list nothing."""
    a, b, c = [await files.put("123", f"{name}.txt", b"x") for name in "abc"]
    await files.put("456", "d.txt", b"x")
    assert await files.visible("123", None) == [c, b, a]
    assert await files.visible("123", []) == []
    assert await files.visible("123", ["a.txt", c.file_id, a.file_id]) == [c, a]
    with pytest.raises(FileNotFoundOrExpired, match=r"d\.txt"):
        await files.visible("123", ["a.txt", "d.txt"])


@pytest.mark.parametrize("ref", ["\ud800", "a\x00b", "%", "' OR 1=1 --", "x" * 100_000, ""])
async def test_a_hostile_reference_is_only_not_found(files: SqlFiles, ref: str) -> None:
    """No text that a model can send as a reference does anything else."""
    await files.put("123", "a.txt", b"x")
    with pytest.raises(FileNotFoundOrExpired):
        await files.get(ref, "123")


async def test_an_upload_gets_a_safe_name(files: SqlFiles) -> None:
    """A name that would climb, steer a terminal or mention somebody is made harmless."""
    assert (await files.put("123", "../../etc/\x1b[31m@everyone.txt", b"x")).filename == "_[31m_everyone.txt"


async def test_too_large_stores_nothing(files: SqlFiles, blobs: DirectoryBlobs) -> None:
    """A refused upload leaves neither a row nor a byte."""
    with pytest.raises(FileTooLarge):
        await files.put("123", "big.bin", b"x" * 1_001)
    assert await files.list("123") == []
    assert not [path for path in blobs.root.rglob("*") if path.is_file()]


async def test_delete_takes_row_and_bytes(files: SqlFiles, blobs: DirectoryBlobs, database: Database) -> None:
    """A deleted upload leaves nothing in either place."""
    file = await files.put("123", "a.txt", b"abc")
    assert await files.delete("a.txt", "123") == file
    assert await blobs.list() == []
    async with database.session() as connection:
        assert (await connection.execute(sa.select(table))).all() == []


async def test_delete_leaves_the_workspace_copy_to_the_sweep(
    files: SqlFiles, blobs: DirectoryBlobs, database: Database
) -> None:
    """A row with a workspace copy stays, marked and invisible, so that the copy is not forgotten."""
    await files.put("123", "a.txt", b"abc")
    async with database.begin() as connection:
        await connection.execute(sa.update(table).values(workspace_path=b"a.txt"))
    await files.delete("a.txt", "123")
    assert (await files.list("123"), await blobs.list()) == ([], [])
    async with database.session() as connection:
        assert (await connection.execute(sa.select(table))).one().deleted_at is not None


async def test_a_crash_after_the_mark_leaves_the_file_gone(
    files: SqlFiles, blobs: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is marked before the bytes go: who dies in between has deleted the file."""

    async def die(_: str) -> bool:
        raise StorageFault("power cut")

    await files.put("123", "a.txt", b"abc")
    monkeypatch.setattr(blobs, "delete", die)
    with pytest.raises(StorageFault):
        await files.delete("a.txt", "123")
    assert await files.list("123") == []


async def test_lost_bytes_are_a_fault_not_an_expiry(files: SqlFiles, blobs: DirectoryBlobs) -> None:
    """A live row whose blob has vanished is our failure and says so."""
    file = await files.put("123", "a.txt", b"abc")
    await blobs.delete(file.file_id)
    for reader in (files.read, files.open):
        with pytest.raises(StorageFault, match="missing from the blob store"):
            await reader("a.txt", "123")


async def test_a_row_that_cannot_be_written_takes_its_bytes_back(
    database: Database, blobs: DirectoryBlobs, clock: MovedClock
) -> None:
    """An id that has a row already is not used: the next one is, with the same bytes."""
    ids = iter(["123_1_00000001", "123_1_00000001", "123_1_00000002"])
    files = SqlFiles(database, blobs, clock, TTL, 100, new_id=lambda owner, now: next(ids))
    first = await files.put("123", "a.txt", b"1")
    await blobs.delete(first.file_id)  # so that only the row can refuse
    second = await files.put("123", "a.txt", b"2")
    assert second.file_id == "123_1_00000002"
    assert await files.read(second.file_id, "123") == b"2"
    assert [entry.file_id for entry in await blobs.list()] == [second.file_id]


async def test_ids_that_never_come_free_are_a_fault(
    database: Database, blobs: DirectoryBlobs, clock: MovedClock
) -> None:
    """The search for an id is bounded and leaves nothing behind."""
    files = SqlFiles(database, blobs, clock, TTL, 100, new_id=lambda owner, now: "123_1_00000001")
    await files.put("123", "a.txt", b"1")
    with pytest.raises(StorageFault, match="No free file id"):
        await files.put("123", "b.txt", b"2")
    assert len([path for path in blobs.root.rglob("*") if path.is_file()]) == 1


async def test_a_cancelled_upload_is_whole(files: SqlFiles, blobs: DirectoryBlobs) -> None:
    """A cancellation never leaves a row without bytes or bytes without a row."""
    for delay in (0.0, 0.001, 0.002, 0.004, 0.008):
        upload = asyncio.create_task(files.put("123", "a.txt", b"abc"))
        await asyncio.sleep(delay)
        upload.cancel()
        await asyncio.gather(upload, return_exceptions=True)
    rows = {file.file_id for file in await files.list("123")}
    assert rows == {entry.file_id for entry in await blobs.list()}


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory in memory: ten thousand flushes would otherwise measure the disk."""
    root = Path("/dev/shm")
    directory = Path(tempfile.mkdtemp(dir=root if root.is_dir() else None))
    yield directory
    shutil.rmtree(directory)


@pytest.mark.timeout(300)
async def test_ten_thousand_saves_in_one_second_are_unique(memory: Path, clock: MovedClock) -> None:
    """One owner saves 10 000 files while the clock stands still, and every one has its own id and bytes.

    Every tenth id is drawn twice, so that over a thousand clashes are really settled.
    """
    numbers = itertools.count()

    def clashing(owner: str, now: datetime) -> str:
        return f"{owner}_{int(now.timestamp())}_{next(numbers) * 9 // 10:08x}"

    database = await Database.open(memory / "index.sqlite3")
    files = SqlFiles(database, DirectoryBlobs(memory / "blobs"), clock, TTL, 100, new_id=clashing)
    saved = []
    for start in range(0, 10_000, 20):
        batch = (files.put("123", "a.txt", b"%d" % number) for number in range(start, start + 20))
        saved += await asyncio.gather(*batch)
    assert len({file.file_id for file in saved}) == 10_000
    assert len({file.sha256 for file in await files.list("123")}) == 10_000
    assert next(numbers) > 11_000
    await database.close()
