"""What is known of a person: all of it as one document, packed while it is read, and the end of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from io import SEEK_END
from tempfile import SpooledTemporaryFile
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from bot.delivery import Parcel
from bot.services import Services
from bot.turns import Turns
from orchestrator import Erasure, SandglassError, erase_owner

_NAME = "sandglass-export.json"
_ZIP = "sandglass-export.zip"
_PLAIN = 1024 * 1024
"""Bytes up to which the document is sent as it is, for people to look into."""
_SPOOLED = 4 * 1024 * 1024
"""Bytes of a packed document in memory; a larger one is on the disk, without a name."""
_NAMED = 5
_QUESTIONS = 20
_EXECUTIONS = 20
"""At once in memory; one has up to 256 KiB of output, and its code."""


class Document:
    """A JSON object, zipped as it is written, its lists piece by piece. Everything here blocks."""

    def __init__(self) -> None:
        self._packed = SpooledTemporaryFile(max_size=_SPOOLED)  # noqa: SIM115  (`discard` closes it)
        self._zip = ZipFile(self._packed, "w", ZIP_DEFLATED)
        self._member = self._zip.open(_NAME, "w", force_zip64=True)
        self._brace = "{\n"
        self._comma = ""
        self._list: str | None = None
        self._size = 0

    def put(self, name: str, value: object) -> None:
        """A value by name."""
        self._begin(name)
        self._write(_json(value))

    def extend(self, name: str, values: Iterable[object]) -> None:
        """More of the list by this name, which is the last one until something else is begun."""
        if self._list != name:
            self._begin(name)
            self._write("[")
            self._list, self._comma = name, "\n"
        for value in values:
            self._write(self._comma + _json(value))
            self._comma = ",\n"

    def finish(self) -> None:
        """Nothing more is written."""
        self._end_list()
        self._write("\n}\n")
        self._member.close()
        self._zip.close()

    def discard(self) -> None:
        """Give up the room that it takes."""
        self._packed.close()

    def parts(self, limit: int) -> int:
        """In how many files of at most `limit` bytes it travels."""
        if self._size <= min(_PLAIN, limit):
            return 1
        return -(-self._packed.seek(0, SEEK_END) // limit)

    def part(self, number: int, limit: int) -> Parcel:
        """One of them, from 0; together, in this order, they are the zip."""
        if self._size <= min(_PLAIN, limit):
            with ZipFile(self._packed) as packed:
                return Parcel(filename=_NAME, data=packed.read(_NAME))
        several = self.parts(limit) > 1
        self._packed.seek(number * limit)
        return Parcel(filename=f"{_ZIP}.{number + 1:03}" if several else _ZIP, data=self._packed.read(limit))

    def _begin(self, name: str) -> None:
        self._end_list()
        self._write(f"{self._brace}{_json(name)}: ")
        self._brace = ",\n"

    def _end_list(self) -> None:
        if self._list is not None:
            self._write("\n]")
            self._list = None

    def _write(self, text: str) -> None:
        # What UTF-8 has no bytes for becomes an escape, which JSON knows as well.
        data = text.encode("utf-8", "backslashreplace")
        self._size += len(data)
        self._member.write(data)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1)


@asynccontextmanager
async def exported(services: Services, user_id: int) -> AsyncIterator[Document]:
    """The document of everything that is known of a person; no more than a page of it is in memory."""
    document = await asyncio.to_thread(Document)
    try:
        await _conversations(document, services, user_id)
        await _executions(document, services, user_id)
        files = await services.orchestrator.list_user_files(user_id)
        await asyncio.to_thread(document.extend, "files", (each.model_dump(mode="json") for each in files))
        await asyncio.to_thread(document.finish)
        yield document
    finally:
        await asyncio.to_thread(document.discard)


async def _conversations(document: Document, services: Services, user_id: int) -> None:
    known: dict[str, Any] = await services.store.export(user_id, at_most=_QUESTIONS)
    page = known.pop("conversations")
    for name, value in known.items():
        await asyncio.to_thread(document.put, name, value)
    await asyncio.to_thread(document.extend, "conversations", page)
    while len(page) == _QUESTIONS:
        after = page[-1]["question_id"]
        page = (await services.store.export(user_id, after=after, at_most=_QUESTIONS))["conversations"]
        await asyncio.to_thread(document.extend, "conversations", page)


async def _executions(document: Document, services: Services, user_id: int) -> None:
    before = None
    while True:
        page = await services.orchestrator.list_executions(user_id, _EXECUTIONS, before=before)
        await asyncio.to_thread(
            document.extend, "executions", (each.model_dump(mode="json") for each in page)
        )
        if len(page) < _EXECUTIONS:
            return
        before = page[-1].execution_id


async def erase(services: Services, turns: Turns, user_id: int) -> str:
    """Stop what a person has in hand, forget all that is known of them, and say what was done."""
    for turn in reversed(turns.of_user(user_id)):
        await turns.stop(turn)  # or it would be remembered at its end
    questions = await services.store.erase(user_id)
    try:
        erasure = await erase_owner(services.orchestrator, user_id)
    except SandglassError as error:
        return (
            f"-# 🧹 {questions} questions are forgotten\n"
            f"⚠️ Your executions, files and workspace may not be: {error} Then use `/privacy erase` again."
        )
    return f"-# 🧹 {questions} questions and {_told(erasure)}"


def _told(erasure: Erasure) -> str:
    done = f"{erasure.executions} executions are forgotten, {erasure.files} files deleted"
    stays = "the day's figures (when, model, tokens, cost, seconds) stay, without words"
    if not erasure.under_way:
        return f"{done}, your workspace is empty; {stays}"
    names = ", ".join(f"`{each}`" for each in erasure.under_way[:_NAMED])
    count = len(erasure.under_way)
    which = "One execution of yours is" if count == 1 else f"{count} executions of yours are"
    return (
        f"{done}; {stays}\n⚠️ {which} under way ({names}). What they are given, print and write, and your "
        "workspace, are **not** forgotten: let them end or stop them, then use `/privacy erase` again."
    )
