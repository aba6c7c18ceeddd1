"""The model's words in Discord: streamed by edits, at most one a second and message, always a final one."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, cast

import nextcord
import structlog

from bot import buttons, markdown
from bot.connection import Edits
from bot.delivery import Parcel
from bot.show import as_files

log = structlog.get_logger(__name__)

_INTERVAL = 1.05
_THINKING = "-# 💭 thinking…"


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

    async def open(self, sign: str = _THINKING) -> None:
        """Send the first message, or take over the one that answered before an edit."""
        view = buttons.stop_turn(self._question.id)
        if self._into is not None:
            await self._into.edit(content=sign, view=view, attachments=[])
            self._messages.append(cast("Writable", self._into))
        else:
            reference = self._question.to_reference(fail_if_not_exists=False)
            message = await self._question.channel.send(
                sign, reference=reference, mention_author=False, view=view
            )
            self._messages.append(cast("Writable", message))
            await self._on_message(message)
        self._shown.append(sign)
        self._edited.append(time.monotonic())
        self._editor = asyncio.create_task(self._edit_along())

    async def piece(self, text: str) -> None:
        """Add to the answer; shown with the next edit."""
        self._text += text
        self._dirty.set()

    async def sign(self, text: str) -> None:
        """Show a sign in place of an answer that has no words yet."""
        if not self._text.strip() and self._messages:
            await self._write(0, text, view=buttons.stop_turn(self._question.id))

    async def close(self, notes: Sequence[str] = ()) -> None:
        """The last edit: everything, without the Stop button."""
        self._closing.set()
        self._dirty.set()
        if self._editor is not None:
            await self._editor
        parts = markdown.split(markdown.prose(self._text))
        parcels: list[Parcel] = []
        if len(parts) > markdown.MOST_PARTS:
            parcels = [Parcel(filename="answer.md", data=self._text.strip().encode("utf-8", "replace"))]
            parts = [*parts[:1], "-# 📎 the whole answer is in answer.md"]
        tail = "\n".join(f"-# {note}" for note in notes)
        if not parts:
            parts = [tail or "-# done"]
        elif tail:
            parts = [*parts[:-1], f"{parts[-1]}\n{tail}"[: markdown.LIMIT]]
        await self._show(parts, parcels, final=True)

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
            parts = markdown.split(markdown.prose(self._text))[: markdown.MOST_PARTS]
            try:
                await self._show(parts, (), final=False)
            except nextcord.HTTPException as error:
                # One edit less; the next one, or the last, says everything.
                log.warning("edit failed", status=error.status)
            try:
                async with asyncio.timeout(self._edits.interval):
                    await self._closing.wait()
            except TimeoutError:
                continue

    async def _show(self, parts: Sequence[str], parcels: Sequence[Parcel], *, final: bool) -> None:
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            files = as_files(parcels) if last else []
            if index >= len(self._messages):
                await self._send(part, files)
            elif part != self._shown[index] or files or (final and index == 0):
                view = None if final or index else buttons.stop_turn(self._question.id)
                await self._write(index, part, view=view, files=files)
        if final:
            for message in self._messages[len(parts) :]:
                await message.delete()

    async def _send(self, text: str, files: list[nextcord.File]) -> None:
        message = await self._question.channel.send(text, files=files)
        self._messages.append(cast("Writable", message))
        self._shown.append(text)
        self._edited.append(time.monotonic())
        await self._on_message(message)

    async def _write(
        self,
        index: int,
        text: str,
        *,
        view: nextcord.ui.View | None,
        files: list[nextcord.File] | None = None,
    ) -> None:
        early = self._edited[index] + _INTERVAL - time.monotonic()
        if early > 0:
            await asyncio.sleep(early)
        self._edited[index] = time.monotonic()
        if files:
            await self._messages[index].edit(content=text, view=view, files=files)
        else:
            await self._messages[index].edit(content=text, view=view)
        self._shown[index] = text
