"""The model's words in Discord: streamed by edits, at most one a second and message, always a final one."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol, cast

import nextcord
import structlog

from bot import buttons, markdown
from bot.connection import Edits
from bot.delivery import Parcel
from bot.sending import UNSENT, insist
from bot.show import as_files
from bot.traces import trace
from bot.unbroken import unbroken

log = structlog.get_logger(__name__)

_INTERVAL = 1.05
THINKING = "-# 💭 thinking…"


class Writable(Protocol):
    """A message of ours, known whole or by its id alone."""

    async def edit(self, **fields: Any) -> object: ...

    async def delete(self) -> None: ...


class Answer:
    """The messages that hold one answer; the first replies to the question."""

    def __init__(
        self,
        question: nextcord.Message,
        on_message: Callable[[nextcord.Message], Awaitable[None]],
        edits: Edits,
        *,
        into: nextcord.PartialMessage | None = None,
    ) -> None:
        self._question = question
        self._on_message = on_message
        self._edits = edits
        self._into = into
        self._text = ""
        self._sign = THINKING
        self._messages: list[Writable] = []
        self._shown: list[str] = []
        self._edited: list[float] = []
        self._dirty = asyncio.Event()
        self._closing = asyncio.Event()
        self._editor: asyncio.Task[None] | None = None

    @property
    def text(self) -> str:
        """What the model has said so far."""
        return self._text

    async def open(self, sign: str = THINKING) -> None:
        """Send the first message, or take over the one that answered before an edit; raises `UNSENT`."""
        self._sign = sign
        if self._into is None or not await self._take_over(self._into):
            await self._send(sign, view=buttons.stop_turn(self._question.id), replies=True)
        self._editor = asyncio.create_task(self._edit_along())

    async def piece(self, text: str) -> None:
        """Add to the answer; shown with the next edit."""
        self._text += text
        self._dirty.set()

    def sign(self, text: str) -> None:
        """What to show, with the next edit, for as long as the answer has no words."""
        self._sign = text
        self._dirty.set()

    @unbroken
    async def close(self, notes: Sequence[str] = ()) -> None:
        """The last edit: everything, without the Stop button; not even a stop cuts it. Raises `UNSENT`."""
        await self._end_editor()
        parts = markdown.split(markdown.prose(self._text))
        if len(parts) <= markdown.MOST_PARTS:
            await self._show(_with_notes(parts, notes), (), final=True)
            return
        whole = Parcel(filename="answer.md", data=self._text.strip().encode("utf-8", "replace"))
        begun = [*parts[:1], "-# 📎 the whole answer is in answer.md"]
        try:
            await self._show(_with_notes(begun, notes), [whole], final=True)
        except UNSENT as error:
            log.warning("answer not attached", question_id=self._question.id, **trace(error))
            cut = [*notes, "⚠️ Discord took no file here, so the rest of this answer is missing: ask for less"]
            await self._show(_with_notes(parts[: markdown.MOST_PARTS], cut), (), final=True)

    @unbroken
    async def give_up(self, sentence: str) -> None:
        """Discord takes the last edit in no form: drop the button, and say so where nothing else is said."""
        await self._end_editor()
        for message, shown in zip(self._messages[:1], self._shown, strict=False):
            words = {"content": f"-# ⚠️ {sentence}"} if shown.startswith("-# ") else {}
            await message.edit(view=None, **words)

    @unbroken
    async def _take_over(self, message: nextcord.PartialMessage) -> bool:
        """Show the sign in an earlier answer; False where that was deleted."""
        view = buttons.stop_turn(self._question.id)
        try:
            await insist(lambda: message.edit(content=self._sign, view=view, attachments=[]))
        except nextcord.NotFound:
            return False
        self._enter(cast("Writable", message), self._sign)
        return True

    async def _end_editor(self) -> None:
        self._closing.set()
        self._dirty.set()
        if self._editor is not None:
            await asyncio.wait({self._editor})
            if not self._editor.cancelled() and (error := self._editor.exception()):
                log.error("editor failed", question_id=self._question.id, **trace(error))

    async def _edit_along(self) -> None:
        self._edits.writers += 1
        try:
            await self._until_closed()
        finally:
            self._edits.writers -= 1

    async def _until_closed(self) -> None:
        while not self._closing.is_set():
            await self._dirty.wait()
            self._dirty.clear()
            if self._closing.is_set():
                return
            parts = markdown.split(markdown.prose(self._text))[: markdown.MOST_PARTS] or [self._sign]
            try:
                await self._show(parts, (), final=False)
            except UNSENT as error:
                # One edit less; the next one, or the last, says everything.
                log.warning("edit failed", question_id=self._question.id, **trace(error))
            try:
                async with asyncio.timeout(self._edits.interval):
                    await self._closing.wait()
            except TimeoutError:
                continue

    async def _show(self, parts: Sequence[str], parcels: Sequence[Parcel], *, final: bool) -> None:
        for index, part in enumerate(parts):
            enclosed = parcels if index == len(parts) - 1 else ()
            if index >= len(self._messages):
                await self._send(part, enclosed)
            elif part != self._shown[index] or enclosed or (final and index == 0):
                await self._write(index, part, enclosed, final=final)
        if final:
            for message in self._messages[len(parts) :]:
                with suppress(*UNSENT):  # gone already, or in the way of nothing
                    await message.delete()

    async def _write(self, index: int, text: str, parcels: Sequence[Parcel], *, final: bool) -> None:
        early = self._edited[index] + _INTERVAL - time.monotonic()
        if early > 0:
            await asyncio.sleep(early)
        self._edited[index] = time.monotonic()
        message, view = self._messages[index], None
        if not final and index == 0:
            view = buttons.stop_turn(self._question.id)

        async def edit() -> object:
            files = {"files": as_files(parcels)} if parcels else {}
            return await message.edit(content=text, view=view, **files)

        if not final:
            await edit()
        else:
            try:
                await insist(edit)
            except nextcord.NotFound:
                # Somebody deleted it; the answer is still owed.
                await self._send(text, parcels, place=index)
        self._shown[index] = text

    @unbroken
    async def _send(
        self,
        text: str,
        parcels: Sequence[Parcel] = (),
        *,
        view: nextcord.ui.View | None = None,
        replies: bool = False,
        place: int | None = None,
    ) -> None:
        """A message of its own, noted as ours in the same breath: one that nobody knows of stays for ever."""
        options: dict[str, Any] = {} if view is None else {"view": view}
        if replies:
            reference = self._question.to_reference(fail_if_not_exists=False)
            options |= {"reference": reference, "mention_author": False}
        message = await insist(lambda: self._question.channel.send(text, files=as_files(parcels), **options))
        self._enter(cast("Writable", message), text, place)
        await self._on_message(message)

    def _enter(self, message: Writable, text: str, place: int | None = None) -> None:
        if place is not None:
            self._messages[place] = message
            return
        self._messages.append(message)
        self._shown.append(text)
        self._edited.append(time.monotonic())


def _with_notes(parts: Sequence[str], notes: Sequence[str]) -> list[str]:
    """The parts with our small print under the last one, or behind it where there is no room."""
    tail = "\n".join(f"-# {note}" for note in notes)[: markdown.LIMIT]
    if not parts:
        return [tail or "-# done"]
    if not tail:
        return list(parts)
    joined = f"{parts[-1]}\n{tail}"
    return [*parts[:-1], joined] if len(joined) <= markdown.LIMIT else [*parts, tail]
