"""Blobs are whole or absent, counted while copied, and never over another."""

import asyncio
import hashlib
import io
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.errors import FileTooLarge, InvalidRequest
from orchestrator.storage.blobs import DirectoryBlobs, Source

ID = "123_1700000000_0123abcd"
LIMIT = 3_000_000


def _everything(blobs: DirectoryBlobs) -> list[Path]:
    return [path for path in blobs.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("content", [b"", b"abc", os.urandom(2_500_000)])
@pytest.mark.parametrize("kind", ["bytes", "stream", "path"])
async def test_what_goes_in_comes_out(
    blobs: DirectoryBlobs, tmp_path: Path, content: bytes, kind: str
) -> None:
    """Size, hash and bytes are those of the source, whatever it is read from."""
    (tmp_path / "source").write_bytes(content)
    sources: dict[str, Source] = {
        "bytes": content,
        "stream": io.BytesIO(content),
        "path": tmp_path / "source",
    }
    blob = await blobs.put(ID, sources[kind], LIMIT)
    assert (blob.size, blob.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert blob.head == content[:4096]
    with await blobs.open(ID) as stream:
        assert stream.read() == content


async def test_a_blob_is_not_written_over(blobs: DirectoryBlobs) -> None:
    """A taken id is refused, what is there stays, and no temporary is left."""
    await blobs.put(ID, b"first", LIMIT)
    with pytest.raises(FileExistsError):
        await blobs.put(ID, b"second", LIMIT)
    assert [path.read_bytes() for path in _everything(blobs)] == [b"first"]


async def test_too_large_leaves_nothing(blobs: DirectoryBlobs) -> None:
    """Bytes are counted while copying: an endless source ends at the bound."""

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return b"x" * size

    with pytest.raises(FileTooLarge, match="larger than 3 MB"):
        await blobs.put(ID, Endless(), LIMIT)  # type: ignore[arg-type]
    assert _everything(blobs) == []


async def test_exactly_the_bound_is_taken(blobs: DirectoryBlobs) -> None:
    """The bound itself is allowed."""
    assert (await blobs.put(ID, b"12345", 5)).size == 5


async def test_a_source_that_breaks_leaves_nothing(blobs: DirectoryBlobs) -> None:
    """An upload that stops halfway is no blob."""

    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise ConnectionResetError("gone")

    with pytest.raises(Exception, match=r"gone|refused"):
        await blobs.put(ID, Broken(), LIMIT)  # type: ignore[arg-type]
    assert _everything(blobs) == []


async def test_a_fifo_is_not_read(blobs: DirectoryBlobs, tmp_path: Path) -> None:
    """A FIFO in the place of a file is refused at once instead of waited for."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InvalidRequest, match="regular file"):
        await blobs.put(ID, tmp_path / "fifo", LIMIT)


@pytest.mark.parametrize(
    "file_id",
    ["", "..", "../../etc/passwd", "a/b_1_01234567", "123_1_0123ABCD", f"{ID}\n", f"{ID}/../x", "1_2_3"],
)
async def test_only_a_file_id_has_a_path(blobs: DirectoryBlobs, file_id: str) -> None:
    """No id leads out of the store."""
    with pytest.raises(InvalidRequest, match="not a file id"):
        blobs.path(file_id)


async def test_delete_says_whether_it_was_there(blobs: DirectoryBlobs) -> None:
    """Deleting twice is no error."""
    await blobs.put(ID, b"abc", LIMIT)
    assert await blobs.delete(ID)
    assert not await blobs.delete(ID)
    with pytest.raises(FileNotFoundError):
        await blobs.open(ID)


def test_the_list_is_of_finished_blobs(blobs: DirectoryBlobs) -> None:
    """What is staged is not a blob; what is published is, with its size."""
    assert asyncio.run(blobs.list()) == []
    asyncio.run(blobs.put(ID, b"abc", LIMIT))
    blobs.stage(b"half", LIMIT)
    assert [(entry.file_id, entry.size) for entry in asyncio.run(blobs.list())] == [(ID, 3)]


def test_many_are_published_at_once(blobs: DirectoryBlobs) -> None:
    """A batch is named whole; a clash in it leaves the rest to another try."""
    ids = [f"123_1700000000_{number:08x}" for number in range(0, 2**32, 2**32 // 50)]
    staged = [(file_id, blobs.stage(file_id.encode(), LIMIT)) for file_id in ids]
    blobs.publish(staged[:40])
    with pytest.raises(FileExistsError):
        blobs.publish([staged[40], (ids[0], staged[41][1])])
    blobs.publish(staged[41:])
    assert {entry.file_id for entry in asyncio.run(blobs.list())} == set(ids)
    assert blobs.path(ids[0]).read_bytes() == ids[0].encode()


async def test_a_blob_is_read_only_for_everybody(blobs: DirectoryBlobs) -> None:
    """A hard link of a blob can be read by a sandbox's uid and written by none."""
    await blobs.put(ID, b"abc", LIMIT)
    assert blobs.path(ID).stat().st_mode & 0o777 == 0o444


def test_half_written_leavings_go_by_age(blobs: DirectoryBlobs) -> None:
    """Old temporaries are removed, one that may still be written is not."""
    old, new = blobs.stage(b"old", LIMIT), blobs.stage(b"new", LIMIT)
    os.utime(old.temporary, (1, 1))
    assert blobs.discard_stale(datetime.now(UTC) - timedelta(hours=1)) == 1
    assert not old.temporary.exists()
    assert new.temporary.exists()
