"""An execution in Discord: a sign that it runs, then its status, output, files and buttons."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import nextcord
import structlog

from bot import buttons
from bot.caption import Caption, further, refused
from bot.delivery import Parcel, pack
from bot.interactions import token_is_dead
from bot.runs import Run
from bot.sending import UNSENT, insist, may_pass
from bot.services import Services
from bot.traces import trace
from bot.unbroken import unbroken
from orchestrator import SandglassError

log = structlog.get_logger(__name__)

_PATIENCE = 1.0
"""Seconds before a running execution is announced; most end sooner."""
_LOOK_AGAIN = 2.0
"""Seconds between two looks at the line; an edit of ours is never sooner after another."""
_RUNNING = "-# ⏳ running"
_STOPPED = "-# ⏹️ stopped"
_FAILED = "-# ⚠️ something went wrong on our side: run it again"


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
        self._announced: nextcord.Message | None = None
        """The message that says that it waits or runs, as long as it says so."""
        self._told = False

    @unbroken
    async def waits(self, sign: str, view: nextcord.ui.View) -> None:
        """Say what it waits for, in the message that will say that it runs and then hold the result."""
        try:
            if self._announced is None:
                self._announced = await self._place.send(sign, (), view)
                await self._on_message(self._announced)
            else:
                await _edit(self._announced, sign, (), view)
        except UNSENT as error:
            log.warning("place in the line not shown", **trace(error))

    async def began(self, execution_id: str, code: str) -> None:  # noqa: ARG002  (the code is behind a button)
        """Announce the execution with a Stop button, unless it ends at once."""
        self._over = asyncio.Event()
        self._told = False
        self._announcing = asyncio.create_task(self._announce(execution_id, self._over))

    async def ended(self, run: Run) -> None:
        """Show what came of it, and enter the time into the ledger, also when the turn is stopped."""
        await self._end(run)

    @unbroken
    async def _end(self, run: Run) -> None:
        await self._called_off()
        self._told = True
        try:
            await self._book(run)
        finally:
            await self._deliver(run)

    async def _book(self, run: Run) -> None:
        if run.result is not None:
            await self._services.store.book(
                user_id=self._user_id,
                guild_id=self._guild_id,
                at=self._services.clock.now(),
                cpu_seconds=run.result.execution_time,
            )

    async def abandon(self) -> bool:
        """The execution was cancelled with its turn: say so where it was announced.

        False if nothing of it is to be seen. Once an end is told, nothing more happens.
        """
        return await self._take_back(_STOPPED)

    async def failed(self) -> bool:
        """The execution, or what we did with it, broke: as `abandon`, in other words."""
        return await self._take_back(_FAILED)

    @unbroken
    async def _take_back(self, sign: str) -> bool:
        await self._called_off()
        if self._announced is not None:
            self._told = True
            try:
                await _edit(self._announced, sign, (), None)
            except UNSENT as error:
                log.warning("announcement not taken back", **trace(error))
            self._announced = None
        return self._told

    async def _announce(self, execution_id: str, over: asyncio.Event) -> nextcord.Message | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await over.wait()
                return None
        sign = await self._sign(execution_id)
        try:
            message = await self._say(sign, buttons.stop_run(execution_id))
        except UNSENT as error:
            log.warning("execution not announced", **trace(error))
            return None
        self._announced = message
        await self._note(message, execution_id)
        while sign != _RUNNING and not over.is_set():
            sign = await self._follow(message, execution_id, sign, over)
        return message

    async def _say(self, sign: str, view: nextcord.ui.View) -> nextcord.Message:
        if self._announced is not None:
            await _edit(self._announced, sign, (), view)
            return self._announced
        # Once only: of two announcements, the one whose answer was lost would stay for ever.
        return await self._place.send(sign, (), view)

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
            except UNSENT as error:
                log.warning("place in the line not shown", **trace(error))
        return now

    async def _sign(self, execution_id: str) -> str:
        try:
            place = await self._services.orchestrator.position(execution_id)
        except SandglassError:
            # It is entered into the index only now, or has just ended.
            return _RUNNING
        return f"-# ⏳ queued: number {place} in the line" if place else _RUNNING

    async def _called_off(self) -> None:
        """No announcement after this; the one that was made, or is being made, is known."""
        task, self._announcing = self._announcing, None
        self._over.set()
        if task is not None:
            await asyncio.wait({task})
            if error := task.exception():
                # What is announced is known; what was wrong with it must not cost the result.
                log.error("announcement failed", **trace(error))

    async def _deliver(self, run: Run) -> None:
        """Message by message; what Discord refuses or loses of one costs neither the others nor the turn."""
        made = run.result.generated_files if run.result else ()
        view = buttons.after_run(run.execution_id) if run.result else None
        words = Caption(run)
        sandglass, limit = self._services.orchestrator, self._place.limit
        async with pack(sandglass, run.owner, made, limit=limit, extra=words.extra) as delivery:
            first, *others = delivery.messages or ((),)
            async with delivery.loaded(first) as loaded:
                plain = words.without_files(delivery, loaded)
                await self._bring(run, words.first(delivery, loaded), loaded.parcels, plain, view)
            for items in others:
                async with delivery.loaded(items) as loaded:
                    text = further(loaded)
                    await self._bring(run, text, loaded.parcels, refused(text))

    async def _bring(
        self,
        run: Run,
        text: str,
        parcels: Sequence[Parcel],
        plain: str,
        view: nextcord.ui.View | None = None,
    ) -> None:
        """With its files, or where that does not succeed without them and in other words."""
        try:
            try:
                await self._put(run.execution_id, text, parcels, view)
            except UNSENT as error:
                if not parcels or may_pass(error):
                    raise
                log.warning("files not delivered", execution_id=run.execution_id, **trace(error))
                await self._put(run.execution_id, plain, (), view)
        except UNSENT as error:
            log.warning("result not delivered", execution_id=run.execution_id, **trace(error))

    async def _put(
        self, execution_id: str, content: str, parcels: Sequence[Parcel], view: nextcord.ui.View | None
    ) -> None:
        """Into the announcement, or, where there is none or it is gone, into a message of its own."""
        if self._announced is not None:
            try:
                await _edit(self._announced, content, parcels, view)
            except nextcord.NotFound:
                log.warning("announcement is gone", execution_id=execution_id)
                self._announced = None
            else:
                self._announced = None
                return
        message = await insist(lambda: self._place.send(content, as_files(parcels), view))
        await self._note(message, execution_id)

    async def _note(self, message: nextcord.Message, execution_id: str) -> None:
        await self._on_message(message)
        await self._services.store.shown(execution_id, message.channel.id, message.id)


async def _edit(
    message: nextcord.Message, content: str, parcels: Sequence[Parcel], view: nextcord.ui.View | None
) -> None:
    """Change a message wholly; an answer to an interaction, whose time is over, through its channel."""

    async def change(it: Any) -> None:
        files = {"files": as_files(parcels)} if parcels else {}
        await it.edit(content=content, attachments=[], view=view, **files)

    try:
        await insist(lambda: change(message))
    except nextcord.HTTPException as error:
        if not token_is_dead(error):
            raise
        known: Any = message.channel
        await insist(lambda: change(known.get_partial_message(message.id)))


def as_files(parcels: Sequence[Parcel]) -> list[nextcord.File]:
    """Fresh `File` objects: one that was sent is empty when sent again."""
    return [nextcord.File(io.BytesIO(each.data), each.filename) for each in parcels]
