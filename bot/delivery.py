"""How files travel: which go into which message, which are zipped, which stay here.

What goes where is decided by sizes alone. A message's files are in memory only while it is sent.
"""

import asyncio
import io
import re
import zipfile
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from tempfile import SpooledTemporaryFile

from bot import zipping
from bot.held import IN_HAND, Held
from bot.markdown import name, one_line
from bot.render import size
from orchestrator import FileNotFoundOrExpired, Sandglass, SandglassError, StoredFile

MIB = 1024 * 1024
FILES_A_MESSAGE = 10
REQUEST_BYTES = 25 * MIB - 64 * 1024
"""Discord's bound of one request, without what the form itself needs."""
_BOOSTED = {2: 50 * MIB, 3: 100 * MIB}
_USUAL = 10 * MIB
_ZIP_AT_MOST = 200 * MIB
_HIDING = re.compile(f"(?:{''.join(rf'\W*{letter}' for letter in 'SPOILER')}\\W*[_\\s])+", re.IGNORECASE)
"""The prefix that hides a file behind a click, also with what Discord takes out of a name in between."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """Bytes under the name that people will see."""

    filename: str
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """Something that will be a parcel: a stored file, what it was zipped to, or a parcel of ours."""

    filename: str
    size: int
    file: StoredFile | None = None
    packed: "SpooledTemporaryFile[bytes] | None" = None
    ours: Parcel | None = None


@dataclass(kw_only=True, slots=True)
class Loaded:
    """What one message carries, and a note for each file that is gone; emptied once it was sent."""

    parcels: list[Parcel] = field(default_factory=list)
    files: list[StoredFile] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


class Delivery:
    """Files message by message, and a sentence for each file that needed one."""

    def __init__(self, orchestrator: Sandglass, owner: str, limit: int, held: Held) -> None:
        self._orchestrator = orchestrator
        self._owner = owner
        self._held = held
        self._spools = ExitStack()
        self._packed = 0
        self.limit = limit
        self.messages: tuple[tuple[Item, ...], ...] = ()
        self.kept: list[str] = []
        """Of files that no message here can carry."""
        self.notes: list[str] = []
        """Of the others."""

    @asynccontextmanager
    async def loaded(self, items: Sequence[Item]) -> AsyncIterator[Loaded]:
        """The files of one message, in memory until the block is left; waits until there is room."""
        async with self._held.hold(sum(each.size for each in items)):
            loaded = Loaded()
            try:
                for each in items:
                    await self._load(each, loaded)
                yield loaded
            finally:
                loaded.parcels.clear()

    async def _plan(self, files: Sequence[StoredFile], extra: Sequence[Parcel]) -> None:
        items = [Item(filename=each.filename, size=len(each.data), ours=each) for each in extra]
        for file in sorted(files, key=lambda each: each.type != "image"):
            item = await self._item(file)
            if item is not None:
                items.append(item)
        self.messages = tuple(_grouped(_distinct(items)))

    async def _item(self, file: StoredFile) -> Item | None:
        if file.size <= self.limit:
            return Item(filename=file.filename, size=file.size, file=file)
        try:
            item = await self._zipped(file)
            if item is None:
                await self._keep(file)
        except SandglassError as error:
            self.notes.append(_lost(file, error))
            return None
        return item

    async def _zipped(self, file: StoredFile) -> Item | None:
        # What was zipped waits on disk; a delivery keeps no more there than one message carries.
        most = min(self.limit, REQUEST_BYTES - self._packed)
        if zipping.packed_already(file.filename) or file.size > _ZIP_AT_MOST:
            return None
        try:
            async with self._held.hold(file.size):
                data = await self._orchestrator.load_file(file.file_id, self._owner)
                packed = await asyncio.to_thread(zipping.zip_within, file.filename, data, most)
                del data
        except FileNotFoundOrExpired:
            raise
        except OSError:
            return None  # the disk is full: the file is kept as it is
        if packed is None:
            return None
        self._spools.callback(packed.close)
        count = await asyncio.to_thread(packed.seek, 0, io.SEEK_END)
        self._packed += count
        self.notes.append(f"-# 🗜️ {name(file.filename)} was zipped from {size(file.size)} to {size(count)}.")
        return Item(filename=f"{file.filename}.zip", size=count, file=file, packed=packed)

    async def _keep(self, file: StoredFile) -> None:
        """The sentence of a file that no message here can carry: where it can be had instead."""
        shown = f"{name(file.filename)} ({size(file.size)})"
        head = f"-# 📦 {shown} is over Discord's {size(self.limit)} a file here: "
        if (link := await self._orchestrator.link(file.file_id, self._owner)) is not None:
            self.kept.append(f"{head}fetch it from <{link}>")
            return
        where = "`/download` gives it where your own limit is higher, " if file.size <= REQUEST_BYTES else ""
        self.kept.append(f"{head}it is kept, {where}code can read or split it as {name(file.file_id, 90)}.")

    async def _load(self, item: Item, into: Loaded) -> None:
        if item.ours is not None:
            into.parcels.append(replace(item.ours, filename=item.filename))
            return
        assert item.file is not None
        try:
            if item.packed is not None:
                data = await asyncio.to_thread(zipping.contents, item.packed)
            else:
                data = await self._orchestrator.load_file(item.file.file_id, self._owner)
        except SandglassError as error:
            into.lost.append(_lost(item.file, error))
            return
        into.parcels.append(Parcel(filename=item.filename, data=data))
        into.files.append(item.file)

    def close(self) -> None:
        """Let go of what waits on disk."""
        self._spools.close()


def file_limit(premium_tier: int | None, told: int | None = None) -> int:
    """Bytes of one file: what the interaction told, else by the guild's boost tier."""
    limit = told or _BOOSTED.get(premium_tier or 0, _USUAL)
    return min(limit, REQUEST_BYTES)


@asynccontextmanager
async def pack(
    orchestrator: Sandglass,
    owner: str,
    files: Sequence[StoredFile],
    *,
    limit: int,
    extra: Sequence[Parcel] = (),
    held: Held = IN_HAND,
) -> AsyncIterator[Delivery]:
    """Plan the messages, zip what is too large, and say plainly what must be fetched with /download.

    Pictures go first, for Discord shows them as a gallery. `extra` (our own `output.txt`) comes before all.
    """
    delivery = Delivery(orchestrator, owner, limit, held)
    try:
        await delivery._plan(files, extra)  # noqa: SLF001  (a delivery is there only with its plan)
        yield delivery
    finally:
        delivery.close()


def zipped(parcels: Sequence[Parcel]) -> bytes:
    """A zip archive of them; blocks, so call it in a thread."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in parcels:
            zipping.add(archive, each.filename, each.data)
    return buffer.getvalue()


def safe_filename(filename: str) -> str:
    """A name that a multipart header can carry, without the prefix that would hide it."""
    plain = "".join(c if c.isprintable() and c not in '/\\"' else "_" for c in filename)[-120:]
    hiding = _HIDING.match(plain)
    return (plain[hiding.end() :] if hiding else plain) or "file"


def _lost(file: StoredFile, error: SandglassError) -> str:
    gone = isinstance(error, FileNotFoundOrExpired)
    why = "has expired or was deleted" if gone else f"could not be loaded: {one_line(str(error), 150)}"
    return f"-# ⚠️ {name(file.filename)} {why}"


def _distinct(items: Sequence[Item]) -> list[Item]:
    """The same name twice would look like the same file: number the later ones."""
    seen: dict[str, int] = {}
    distinct = []
    for each in items:
        filename = safe_filename(each.filename)
        seen[filename] = seen.get(filename, 0) + 1
        if seen[filename] > 1:
            filename = f"{seen[filename]}_{filename}"
        distinct.append(replace(each, filename=filename))
    return distinct


def _grouped(items: Sequence[Item]) -> list[tuple[Item, ...]]:
    groups: list[tuple[Item, ...]] = []
    group: list[Item] = []
    for each in items:
        full = len(group) == FILES_A_MESSAGE or sum(i.size for i in group) + each.size > REQUEST_BYTES
        if group and full:
            groups.append(tuple(group))
            group = []
        group.append(each)
    return [*groups, tuple(group)] if group else groups
