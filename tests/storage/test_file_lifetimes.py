"""A file lives to the very second it was promised, and lists are exact about order and owner."""

from datetime import UTC, timedelta

import pytest

from orchestrator.errors import FileNotFoundOrExpired, InvalidRequest
from orchestrator.storage.blobs import DirectoryBlobs
from orchestrator.storage.database import Database
from orchestrator.storage.executions import SqlExecutions
from orchestrator.storage.files import SqlFiles
from orchestrator.storage.users import SqlUsers
from tests.storage.moved_clock import TTL, MovedClock
from tests.storage.world import Store

TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("by", "alive"),
    [
        (timedelta(), True),
        (TTL - timedelta(seconds=1), True),
        (TTL - TICK, True),
        (TTL, False),
        (TTL + TICK, False),
        (TTL + timedelta(days=3650), False),
    ],
)
async def test_a_file_lives_up_to_its_moment_and_not_at_it(
    files: SqlFiles, clock: MovedClock, by: timedelta, *, alive: bool
) -> None:
    """Every way to reach a file changes its mind in the same microsecond."""
    file = await files.put("ann", "a.txt", b"abc")
    clock.advance(by)
    assert bool(await files.list("ann")) is alive
    assert bool(await files.visible("ann", None)) is alive
    assert await files.totals("ann") == ((1, 3) if alive else (0, 0))
    for ask in (files.get, files.read, files.open, files.extend, files.delete):
        for ref in (file.file_id, "a.txt"):
            if alive and ask != files.delete:
                await ask(ref, "ann")
            elif not alive:
                with pytest.raises(FileNotFoundOrExpired):
                    await ask(ref, "ann")


async def test_the_second_of_expiry_is_that_of_the_promise(files: SqlFiles, clock: MovedClock) -> None:
    """What is promised is creation plus the lifetime, to the microsecond and in UTC."""
    file = await files.put("ann", "a.txt", b"x")
    assert file.created_at == clock.moment
    assert file.expires_at == clock.moment + TTL
    listed = (await files.list("ann"))[0]
    assert listed == file
    assert listed.expires_at is not None
    assert listed.expires_at.tzinfo is UTC


async def test_extending_at_the_last_moment_is_in_time(files: SqlFiles, clock: MovedClock) -> None:
    """A microsecond before its end a file can have another whole life, and no more than that."""
    await files.put("ann", "a.txt", b"x")
    clock.advance(TTL - TICK)
    extended = await files.extend("a.txt", "ann")
    assert extended.expires_at == clock.moment + TTL
    clock.advance(TTL - TICK)
    assert await files.read("a.txt", "ann") == b"x"
    clock.advance(TICK)
    assert await files.list("ann") == []


async def test_a_short_extension_does_not_shorten(files: SqlFiles, clock: MovedClock) -> None:
    """An hour from now is less than what it has, so nothing changes, in the answer and in the index."""
    file = await files.put("ann", "a.txt", b"x")
    assert (await files.extend("a.txt", "ann", timedelta(hours=1))).expires_at == file.expires_at
    clock.advance(TTL - timedelta(minutes=30))
    later = await files.extend("a.txt", "ann", timedelta(hours=1))
    assert later.expires_at == clock.moment + timedelta(hours=1)
    assert (await files.get("a.txt", "ann")).expires_at == later.expires_at


@pytest.mark.parametrize("by", [timedelta(), -TICK, timedelta(days=-1)])
async def test_nothing_is_no_extension(files: SqlFiles, by: timedelta) -> None:
    """Zero and less are refused, and the file keeps what it has."""
    file = await files.put("ann", "a.txt", b"x")
    with pytest.raises(InvalidRequest, match="above 0"):
        await files.extend("a.txt", "ann", by)
    assert (await files.get("a.txt", "ann")).expires_at == file.expires_at


async def test_extending_one_version_leaves_the_others(files: SqlFiles, clock: MovedClock) -> None:
    """By name the newest is meant; the older one of that name dies when it was to."""
    old = await files.put("ann", "a.txt", b"old")
    clock.advance(timedelta(hours=1))
    new = await files.put("ann", "a.txt", b"new")
    await files.extend("a.txt", "ann", timedelta(hours=100))
    clock.advance(TTL)
    assert [file.file_id for file in await files.list("ann")] == [new.file_id]
    with pytest.raises(FileNotFoundOrExpired):
        await files.get(old.file_id, "ann")


async def test_when_the_newer_version_expires_the_name_means_the_older(
    files: SqlFiles, clock: MovedClock
) -> None:
    """A name means the newest that lives."""
    old = await files.put("ann", "a.txt", b"old")
    await files.extend(old.file_id, "ann", timedelta(hours=100))
    await files.put("ann", "a.txt", b"new")
    assert await files.read("a.txt", "ann") == b"new"
    clock.advance(TTL)
    assert await files.read("a.txt", "ann") == b"old"


async def test_a_list_is_newest_first_though_the_clock_stands_or_runs_back(
    files: SqlFiles, clock: MovedClock
) -> None:
    """What was stored later is first, whatever time it was."""
    for index in range(6):
        await files.put("ann", f"{index}.txt", b"x")
        clock.advance(timedelta(hours=(0, 1, -2)[index % 3]))
    assert [file.filename for file in await files.list("ann")] == [
        f"{index}.txt" for index in (5, 4, 3, 2, 1, 0)
    ]
    assert [file.filename for file in await files.visible("ann", ["1.txt", "4.txt"])] == ["4.txt", "1.txt"]


async def test_a_list_has_one_owner(files: SqlFiles) -> None:
    """Names that begin alike, or that a wildcard would match, are other owners."""
    for owner in ("ann", "anna", "an", "ANN", "a_n"):
        await files.put(owner, f"{owner}.txt", b"x")
    for owner in ("ann", "anna", "an", "ANN", "a_n"):
        assert [file.filename for file in await files.list(owner)] == [f"{owner}.txt"]
    assert await files.list("%") == []
    assert await files.totals() == (5, 5)


async def test_what_is_missing_lists_at_most_ten_others(files: SqlFiles) -> None:
    """The sentence stays short however much there is, and has the newest."""
    for index in range(14):
        await files.put("ann", f"{index}.txt", b"x")
    with pytest.raises(FileNotFoundOrExpired) as caught:
        await files.get("none.txt", "ann")
    assert len(caught.value.available) == 10
    assert caught.value.available[0].startswith("13.txt (")
    assert "3.txt (" not in str(caught.value).replace("13.txt (", "")


async def test_bounds_of_size_are_exact(files: SqlFiles, blobs: DirectoryBlobs) -> None:
    """The largest file that is allowed is stored, empty ones too; a byte more is not."""
    assert (await files.put("ann", "full", b"x" * 1_000)).size == 1_000
    assert (await files.put("ann", "empty", b"")).size == 0
    with pytest.raises(Exception, match="1") as caught:
        await files.put("ann", "more", b"x" * 1_001)
    assert type(caught.value).__name__ == "FileTooLarge"
    assert await files.totals("ann") == (2, 1_000)


async def test_an_owner_in_figures_forgets_what_expired(
    store: Store, database: Database, executions: SqlExecutions
) -> None:
    """Files count while they live and executions for good; who has no workspace is not listed."""
    users = SqlUsers(store.database)
    assert list(await users.list(store.clock.now())) == []
    await store.workspace("ann")
    await store.files.put("ann", "a.txt", b"abc")
    await store.files.put("ben", "b.txt", b"abc")
    await store.begin("e1", "ann")
    (ann,) = await users.list(store.clock.now())
    assert (ann.owner, ann.files, ann.bytes, ann.executions, ann.unfinished) == ("ann", 1, 3, 1, 1)
    store.clock.offset = TTL + timedelta(seconds=1)
    (ann,) = await users.list(store.clock.now())
    assert (ann.files, ann.bytes, ann.executions) == (0, 0, 1)
    assert list(await users.list(store.clock.now(), "nobody")) == []
