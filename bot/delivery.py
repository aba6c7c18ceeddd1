"""How files travel: which go into which message, which are zipped, which stay here."""

import asyncio
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from bot.markdown import name
from bot.render import size
from orchestrator import Sandglass, StoredFile

MIB = 1024 * 1024
FILES_A_MESSAGE = 10
REQUEST_BYTES = 25 * MIB - 64 * 1024
"""Discord's bound of one request, without what the form itself needs."""
_BOOSTED = {2: 50 * MIB, 3: 100 * MIB}
_USUAL = 10 * MIB
_PACKED_ALREADY = frozenset({"archive", "video", "audio", "image", "document"})
_ZIP_AT_MOST = 200 * MIB


@dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """Bytes under the name that people will see."""

    filename: str
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """Parcels message by message, and a sentence for each file that needed one."""

    messages: tuple[tuple[Parcel, ...], ...]
    notes: tuple[str, ...]


def file_limit(premium_tier: int | None, told: int | None = None) -> int:
    """Bytes of one file: what the interaction told, else by the guild's boost tier."""
    limit = told or _BOOSTED.get(premium_tier or 0, _USUAL)
    return min(limit, REQUEST_BYTES)


async def pack(
    orchestrator: Sandglass,
    owner: str,
    files: Sequence[StoredFile],
    *,
    limit: int,
    extra: Sequence[Parcel] = (),
) -> Delivery:
    """Load what fits, zip what is too large, and say plainly what must be fetched with /download.

    Pictures go first, for Discord shows them as a gallery. `extra` (our own `output.txt`) comes before all.
    """
    parcels, notes = list(extra), []
    for file in sorted(files, key=lambda each: each.type != "image"):
        parcel, note = await _parcel(orchestrator, owner, file, limit)
        if parcel is not None:
            parcels.append(parcel)
        if note is not None:
            notes.append(note)
    return Delivery(messages=tuple(_grouped(_distinct(parcels))), notes=tuple(notes))


async def _parcel(
    orchestrator: Sandglass, owner: str, file: StoredFile, limit: int
) -> tuple[Parcel | None, str | None]:
    if file.size <= limit:
        return Parcel(filename=file.filename, data=await orchestrator.load_file(file.file_id, owner)), None
    if file.type in _PACKED_ALREADY or file.size > _ZIP_AT_MOST:
        return None, await _kept(orchestrator, owner, file, limit)
    data = await orchestrator.load_file(file.file_id, owner)
    packed = await asyncio.to_thread(zipped, [Parcel(filename=file.filename, data=data)])
    if len(packed) > limit:
        return None, await _kept(orchestrator, owner, file, limit)
    return (
        Parcel(filename=f"{file.filename}.zip", data=packed),
        f"-# 🗜️ {name(file.filename)} was zipped from {size(file.size)} to {size(len(packed))}.",
    )


async def _kept(orchestrator: Sandglass, owner: str, file: StoredFile, limit: int) -> str:
    """The sentence of a file that no message here can carry: where it can be had instead."""
    head = f"-# 📦 {name(file.filename)} ({size(file.size)}) is over Discord's {size(limit)} a file here: "
    if (link := await orchestrator.link(file.file_id, owner)) is not None:
        return f"{head}fetch it from <{link}>"
    where = "`/download` gives it where your own limit is higher, " if file.size <= REQUEST_BYTES else ""
    return f"{head}it is kept, {where}code can read or split it as {name(file.file_id, 90)}."


def zipped(parcels: Sequence[Parcel]) -> bytes:
    """A zip archive of them; blocks, so call it in a thread."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in parcels:
            archive.writestr(each.filename, each.data)
    return buffer.getvalue()


def _distinct(parcels: Sequence[Parcel]) -> list[Parcel]:
    """The same name twice would look like the same file: number the later ones."""
    seen: dict[str, int] = {}
    distinct = []
    for each in parcels:
        filename = safe_filename(each.filename)
        seen[filename] = seen.get(filename, 0) + 1
        if seen[filename] > 1:
            filename = f"{seen[filename]}_{filename}"
        distinct.append(Parcel(filename=filename, data=each.data))
    return distinct


def safe_filename(filename: str) -> str:
    """A name that a multipart header can carry, without the prefix that would hide it."""
    plain = "".join(c if c.isprintable() and c not in '/\\"' else "_" for c in filename)
    return plain.removeprefix("SPOILER_")[-120:] or "file"


def _grouped(parcels: Sequence[Parcel]) -> list[tuple[Parcel, ...]]:
    groups: list[tuple[Parcel, ...]] = []
    group: list[Parcel] = []
    for each in parcels:
        full = (
            len(group) == FILES_A_MESSAGE or sum(len(p.data) for p in group) + len(each.data) > REQUEST_BYTES
        )
        if group and full:
            groups.append(tuple(group))
            group = []
        group.append(each)
    return [*groups, tuple(group)] if group else groups
