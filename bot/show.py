"""An execution in Discord: a sign that it runs, then its status, output, files and buttons."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

import nextcord
import structlog

from bot import buttons, markdown, render
from bot.delivery import Delivery, Parcel, pack
from bot.runs import Run
from bot.services import Services
from bot.unbroken import unbroken
from orchestrator import SandglassError

log = structlog.get_logger(__name__)

_PATIENCE = 1.0
"""Seconds before a running execution is announced; most end sooner."""
_LOOK_AGAIN = 2.0
"""Seconds between two looks at the line; an edit of ours is never sooner after another."""
_ROOM_FOR_NOTES = 1_800
_RUNNING = "-# ⏳ running"


class Place(Protocol):
    """Where messages go: a channel, or the answers to an interaction."""

    @property
    def limit(self) -> int:
        """Bytes of one file here."""
        ...

    async def send(
        self, content: str, files: Sequence[nextcord.File], view: nextcord.ui.View | None
    ) -> nextcord.Message: ...


class Show:
    """Shows the executions of one question or command, one after the other."""

    def __init__(
        self,
        services: Services,
        place: Place,
        *,
        user_id: int,
        guild_id: int | None,
        on_message: Callable[[nextcord.Message], Awaitable[None]],
    ) -> None:
        self._services = services
        self._place = place
        self._user_id = user_id
        self._guild_id = guild_id
        self._on_message = on_message
        self._over = asyncio.Event()
        self._announcing: asyncio.Task[nextcord.Message | None] | None = None

    async def began(self, execution_id: str, code: str) -> None:  # noqa: ARG002  (the code is behind a button)
        """Announce the execution with a Stop button, unless it ends at once."""
        self._over = asyncio.Event()
        self._announcing = asyncio.create_task(self._announce(execution_id, self._over))

    async def ended(self, run: Run) -> None:
        """Show what came of it, and enter the time into the ledger, also when the turn is stopped."""
        await self._end(run)

    @unbroken
    async def _end(self, run: Run) -> None:
        announced = await self._announced()
        if run.result is not None:
            await self._services.store.book(
                user_id=self._user_id,
                guild_id=self._guild_id,
                at=self._services.clock.now(),
                cpu_seconds=run.result.execution_time,
            )
        try:
            await self._deliver(run, announced)
        except nextcord.HTTPException as error:
            # Whatever Discord refuses here must not cost the user the rest of the answer.
            log.warning("result not delivered", execution_id=run.execution_id, status=error.status)

    async def abandon(self) -> bool:
        """The execution was cancelled with its turn: say so where it was announced; False if it never was."""
        announced = await self._announced()
        if announced is None:
            return False
        try:
            await announced.edit(content="-# ⏹️ stopped", view=None)
        except nextcord.HTTPException as error:
            log.warning("announcement not taken back", status=error.status)
        return True

    async def _announce(self, execution_id: str, over: asyncio.Event) -> nextcord.Message | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await over.wait()
                return None
        sign = await self._sign(execution_id)
        try:
            message = await self._place.send(sign, (), buttons.stop_run(execution_id))
        except nextcord.HTTPException as error:
            log.warning("execution not announced", status=error.status)
            return None
        await self._on_message(message)
        while sign != _RUNNING and not over.is_set():
            sign = await self._follow(message, execution_id, sign, over)
        return message

    async def _follow(
        self, message: nextcord.Message, execution_id: str, sign: str, over: asyncio.Event
    ) -> str:
        """Wait a little, then show how far the line has moved."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_AGAIN):
                await over.wait()
                return sign
        now = await self._sign(execution_id)
        if now != sign:
            try:
                await message.edit(content=now)
            except nextcord.HTTPException as error:
                log.warning("place in the line not shown", status=error.status)
        return now

    async def _sign(self, execution_id: str) -> str:
        try:
            place = await self._services.orchestrator.position(execution_id)
        except SandglassError:
            # It is entered into the index only now, or has just ended.
            return _RUNNING
        return f"-# ⏳ queued: number {place} in the line" if place else _RUNNING

    async def _announced(self) -> nextcord.Message | None:
        """The announcement, if it was made or is being made; one that still waits is called off."""
        task, self._announcing = self._announcing, None
        self._over.set()
        return None if task is None else await task

    async def _deliver(self, run: Run, announced: nextcord.Message | None) -> None:
        inline, attached = render.output_of(run)
        extra = [Parcel(filename="output.txt", data=attached)] if attached is not None else []
        made = run.result.generated_files if run.result else ()
        note = ""
        try:
            delivery = await pack(
                self._services.orchestrator, run.owner, made, limit=self._place.limit, extra=extra
            )
        except SandglassError as error:
            delivery, note = Delivery(messages=(), notes=()), f"-# ⚠️ {markdown.one_line(str(error))}"
        head = "\n".join(filter(None, (render.status_line(run), inline, note)))
        content = head
        for line in delivery.notes:
            if len(content) + len(line) < _ROOM_FOR_NOTES:
                content += f"\n{line}"
        content += f"\n{render.file_lines(made, markdown.LIMIT - len(content) - 1)}" if made else ""
        first, *others = delivery.messages or ((),)
        view = buttons.after_run(run.execution_id) if run.result else None
        if announced is None:
            await self._on_message(await self._place.send(content, as_files(first), view))
        else:
            await announced.edit(content=content, files=as_files(first), attachments=[], view=view)
        for group in others:
            await self._on_message(await self._place.send("-# 📎 more files", as_files(group), None))


def as_files(parcels: Sequence[Parcel]) -> list[nextcord.File]:
    """Fresh `File` objects: one that was sent is empty when sent again."""
    return [nextcord.File(io.BytesIO(each.data), each.filename) for each in parcels]
