"""The index of stored files: what an owner has, what it is called, until when it is there."""

import asyncio
import builtins
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.files import StoredFile, new_file_id
from orchestrator.domain.names import safe_filename
from orchestrator.errors import FileNotFoundOrExpired, InvalidRequest, StorageFault
from orchestrator.storage.blobs import DirectoryBlobs, Source, StagedBlob
from orchestrator.storage.clock import Clock
from orchestrator.storage.database import Database, to_the_end
from orchestrator.storage.filetypes import FileType, classify
from orchestrator.storage.tables import files

_COLUMNS = tuple(files.c[name] for name in StoredFile.model_fields)
_ID_ATTEMPTS = 20
_LISTED_WHEN_MISSING = 10


class SqlFiles:
    """An owner's live files. A row that expired or is marked deleted is invisible here at once.

    `ttl` None keeps files for ever; `max_bytes` bounds one file. A `ref` is a file id, else a
    filename, else a path below the workspace, of names the newest; whatever else raises
    `FileNotFoundOrExpired`, whether it is unknown, expired or another owner's.
    """

    def __init__(
        self,
        database: Database,
        blobs: DirectoryBlobs,
        clock: Clock,
        ttl: timedelta | None,
        max_bytes: int,
        *,
        new_id: Callable[[str, datetime], str] = new_file_id,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._ttl = ttl
        self._max_bytes = max_bytes
        self._new_id = new_id

    async def list(self, owner: str) -> builtins.list[StoredFile]:
        """Every live file of the owner, newest first."""
        async with self._database.session() as connection:
            return await self._live(connection, owner)

    async def visible(self, owner: str, refs: Sequence[str] | None) -> Sequence[StoredFile]:
        """The files named by `refs`, each once, or all for None; newest first."""
        async with self._database.session() as connection:
            if refs is None:
                return await self._live(connection, owner)
            named = await self._named(connection, owner, refs)
            chosen = {(await self._choose(connection, owner, ref, named)).file_id for ref in refs}
        return [file for file in named if file.file_id in chosen]

    async def get(self, ref: str, owner: str) -> StoredFile:
        """What the index says of one live file."""
        async with self._database.session() as connection:
            return await self._choose(connection, owner, ref, await self._named(connection, owner, [ref]))

    async def put(self, owner: str, filename: str, source: Source) -> StoredFile:
        """Store a file under a safe form of its name; raises `FileTooLarge`.

        The bytes are durable before the row exists, and gone again if the row could not be written.
        A cancellation waits until either both are there or neither.
        """
        return await to_the_end(self._put(owner, safe_filename(filename), source))

    async def _put(self, owner: str, name: str, source: Source) -> StoredFile:
        staged, kind = await asyncio.to_thread(self._stage, name, source)
        try:
            return await self._index(owner, name, staged, kind)
        except BaseException:
            await asyncio.to_thread(self._blobs.discard, staged)
            raise

    async def read(self, ref: str, owner: str) -> bytes:
        """The bytes of one live file."""
        _, stream = await self.stream(ref, owner)
        with stream:
            return await asyncio.to_thread(stream.read)

    async def stream(self, ref: str, owner: str) -> tuple[StoredFile, BinaryIO]:
        """One live file and its bytes, which stay readable after a deletion; the caller closes them."""
        file = await self.get(ref, owner)
        try:
            return file, await self._blobs.open(file.file_id)
        except FileNotFoundError:
            # Either it was deleted since we asked, which this says properly, or the store has lost it.
            await self.get(file.file_id, owner)
            raise self._bytes_are_missing(file.file_id) from None

    async def open(self, ref: str, owner: str) -> Path:
        """Where the bytes of one live file lie, to be read or hard-linked, never written."""
        file = await self.get(ref, owner)
        path = self._blobs.path(file.file_id)
        if not await asyncio.to_thread(path.is_file):
            await self.get(file.file_id, owner)
            raise self._bytes_are_missing(file.file_id)
        return path

    async def delete(self, ref: str, owner: str) -> StoredFile:
        """Delete one live file: the row is marked, then the bytes go, then the row.

        A row that also knows a copy in a workspace stays marked, for `Sweeper.end` to take both.
        """
        return await to_the_end(self._delete(ref, owner))

    async def _delete(self, ref: str, owner: str) -> StoredFile:
        async with self._database.begin() as connection:
            file = await self._choose(connection, owner, ref, await self._named(connection, owner, [ref]))
            this = files.c.file_id == file.file_id
            await connection.execute(sa.update(files).where(this).values(deleted_at=self._clock.now()))
        await self._blobs.delete(file.file_id)
        async with self._database.begin() as connection:
            await connection.execute(sa.delete(files).where(this, files.c.workspace_path.is_(None)))
        return file

    async def extend(self, ref: str, owner: str, by: timedelta | None = None) -> StoredFile:
        """Let one live file live `by` from now, a whole lifetime for None; never shorter than before."""
        if by is not None and by <= timedelta():
            raise InvalidRequest("A file cannot be extended by nothing: give a time above 0.")
        lifetime = self._ttl if by is None else by
        async with self._database.begin() as connection:
            file = await self._choose(connection, owner, ref, await self._named(connection, owner, [ref]))
            until = _later(file.expires_at, None if lifetime is None else self._clock.now() + lifetime)
            this = files.c.file_id == file.file_id
            await connection.execute(sa.update(files).where(this).values(expires_at=until))
        return file.model_copy(update={"expires_at": until})

    async def totals(self, owner: str | None = None) -> tuple[int, int]:
        """How many live files there are and their bytes together, of one owner or of all."""
        size_of_all = sa.func.coalesce(sa.func.sum(files.c.size), 0)
        wanted = sa.select(sa.func.count(), size_of_all).where(self._is_live())
        if owner is not None:
            wanted = wanted.where(files.c.owner == owner)
        async with self._database.session() as connection:
            count, size = (await connection.execute(wanted)).one()
        return int(count), int(size)

    def _is_live(self) -> sa.ColumnElement[bool]:
        unexpired = files.c.expires_at.is_(None) | (files.c.expires_at > self._clock.now())
        return files.c.deleted_at.is_(None) & unexpired

    async def _live(
        self, connection: AsyncConnection, owner: str, *more: sa.ColumnElement[bool], limit: int | None = None
    ) -> builtins.list[StoredFile]:
        wanted = (
            sa.select(*_COLUMNS)
            .where(files.c.owner == owner, self._is_live(), *more)
            .order_by(files.c.seq.desc())
            .limit(limit)
        )
        rows = (await connection.execute(wanted)).mappings().all()
        return [StoredFile.model_validate(dict(row)) for row in rows]

    async def _named(
        self, connection: AsyncConnection, owner: str, refs: Sequence[str]
    ) -> builtins.list[StoredFile]:
        wanted = [ref for ref in refs if _is_text(ref)]
        return await self._live(
            connection,
            owner,
            files.c.file_id.in_(wanted) | files.c.filename.in_(wanted) | files.c.path.in_(wanted),
        )

    async def _choose(
        self, connection: AsyncConnection, owner: str, ref: str, named: Sequence[StoredFile]
    ) -> StoredFile:
        for key in ("file_id", "filename", "path"):
            for file in named:
                if getattr(file, key) == ref:
                    return file
        others = await self._live(connection, owner, limit=_LISTED_WHEN_MISSING)
        raise FileNotFoundOrExpired(ref, tuple(f"{file.filename} ({file.file_id})" for file in others))

    def _stage(self, name: str, source: Source) -> tuple[StagedBlob, FileType]:
        staged = self._blobs.stage(source, self._max_bytes)
        try:
            return staged, classify(name, staged.blob.head)
        except BaseException:
            self._blobs.discard(staged)
            raise

    async def _index(self, owner: str, name: str, staged: StagedBlob, kind: FileType) -> StoredFile:
        now = self._clock.now()
        for _ in range(_ID_ATTEMPTS):
            file = StoredFile(
                file_id=self._new_id(owner, now),
                filename=name,
                path=name,
                type=kind.type,
                media_type=kind.media_type,
                size=staged.blob.size,
                sha256=staged.blob.sha256,
                created_at=now,
                expires_at=None if self._ttl is None else now + self._ttl,
            )
            try:
                await self._write(owner, file, staged)
            except (FileExistsError, IntegrityError):
                continue  # the id is taken, by a blob or by a row
            return file
        raise StorageFault("No free file id was found; this is a defect, please report it.")

    async def _write(self, owner: str, file: StoredFile, staged: StagedBlob) -> None:
        await asyncio.to_thread(self._blobs.publish, [(file.file_id, staged)])
        try:
            async with self._database.begin() as connection:
                await connection.execute(sa.insert(files), {**file.model_dump(), "owner": owner})
        except BaseException:
            await asyncio.to_thread(self._blobs.withdraw, file.file_id, staged)
            raise

    def _bytes_are_missing(self, file_id: str) -> StorageFault:
        return StorageFault(
            f"The bytes of {file_id} are missing from the blob store: `sandglass sweep` forgets such files."
        )


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two moments; None is never."""
    return None if one is None or other is None else max(one, other)


def _is_text(ref: str) -> bool:
    """False for lone surrogates, which no stored name has and no database takes."""
    return not any("\ud800" <= character <= "\udfff" for character in ref)
