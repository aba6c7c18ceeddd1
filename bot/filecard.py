"""A person's stored files as a list with a menu, and one file with what can be done to it."""

from collections.abc import Sequence
from typing import Any

import nextcord
import structlog

from bot import markdown, render
from bot.buttons import Action, buttons
from bot.caption import refused
from bot.delivery import pack
from bot.interactions import InteractionPlace, change, in_time, refuse, reply, user_of
from bot.sending import UNSENT, insist
from bot.services import Services
from bot.show import as_files
from bot.traces import trace
from orchestrator import SandglassError, StoredFile

log = structlog.get_logger(__name__)

_PAGE = 10


async def listing(services: Services, user_id: int, page: int = 0) -> tuple[str, nextcord.ui.View | None]:
    """A page of the list: its text, and a menu with buttons to turn pages."""
    files = await services.orchestrator.list_user_files(user_id)
    if not files:
        return "You have no stored files. Attach one to a question, or use /upload.", None
    last = (len(files) - 1) // _PAGE
    page = max(0, min(page, last))
    shown = files[page * _PAGE : (page + 1) * _PAGE]
    total = render.size(sum(each.size for each in files))
    head = f"**{len(files)} files**, {total}" + (f" · page {page + 1} of {last + 1}" if last else "")
    text = f"{head}\n{render.file_lines(shown, markdown.LIMIT - len(head) - 10)}"
    view = nextcord.ui.View(timeout=None)
    view.add_item(_menu(shown))
    if last:
        view.add_item(_turn("Previous", page - 1, disabled=page == 0))
        view.add_item(_turn("Next", page + 1, disabled=page == last))
    view.stop()
    return text, view


def _menu(files: Sequence[StoredFile]) -> nextcord.ui.StringSelect[nextcord.ui.View]:
    options = [
        nextcord.SelectOption(
            label=markdown.visible(each.filename)[:100] or "?",
            value=each.file_id,
            description=f"{each.type}, {render.size(each.size)}",
        )
        for each in files
    ]
    custom_id = Action(verb="pick", target="file").custom_id
    return nextcord.ui.StringSelect(custom_id=custom_id, placeholder="Choose a file", options=options)


def _turn(label: str, page: int, *, disabled: bool) -> nextcord.ui.Button[nextcord.ui.View]:
    custom_id = Action(verb="page", target=str(page)).custom_id
    return nextcord.ui.Button(label=label, custom_id=custom_id, disabled=disabled)


async def clicked(
    services: Services, interaction: nextcord.Interaction[Any], action: Action, values: Sequence[str]
) -> None:
    """A click in a list or on a file; the owner is whoever clicks, so that a foreign id finds nothing."""
    user_id = user_of(interaction)
    sandglass = services.orchestrator
    try:
        match action.verb:
            case "page":
                work = listing(services, user_id, int(action.target))
                await change(interaction, *await in_time(interaction, work, private=False))
            case "pick":
                file = await in_time(interaction, sandglass.get_file(values[0], user_id))
                await reply(interaction, render.file_line(file), _actions(file))
            case "get":
                await send_file(services, interaction, action.target)
            case "keep":
                extended = sandglass.extend_file(action.target, user_id)
                file = await in_time(interaction, extended, private=False)
                await change(interaction, render.file_line(file), _actions(file))
            case "ask":
                file = await in_time(interaction, sandglass.get_file(action.target, user_id), private=False)
                question = f"Delete {markdown.name(file.filename)} for ever?"
                await change(interaction, question, _confirm(file.file_id))
            case "gone":
                deleted = sandglass.delete_user_file(action.target, user_id)
                file = await in_time(interaction, deleted, private=False)
                await change(interaction, f"-# 🗑️ {markdown.name(file.filename)} is deleted.", None)
    except SandglassError as error:
        await refuse(interaction, markdown.prose(str(error))[: markdown.LIMIT])


async def send_file(services: Services, interaction: nextcord.Interaction[Any], ref: str) -> None:
    """Give a file to its owner alone, zipped where that makes it fit; raises `FileNotFoundOrExpired`."""
    await interaction.response.defer(ephemeral=True, with_message=True)
    owner = str(user_of(interaction))
    place = InteractionPlace(interaction, ephemeral=True)
    file = await services.orchestrator.get_file(ref, owner)
    async with (
        pack(services.orchestrator, owner, [file], limit=place.limit) as delivery,
        delivery.loaded(delivery.messages[0] if delivery.messages else ()) as loaded,
    ):
        text = "\n".join([render.file_line(file), *delivery.kept, *delivery.notes, *loaded.lost])
        try:
            await insist(lambda: place.send(text, as_files(loaded.parcels), None))
        except UNSENT as error:
            log.warning("file not delivered", **trace(error))
            await insist(lambda: place.send(refused(text), (), None))


def _actions(file: StoredFile) -> nextcord.ui.View:
    style = nextcord.ButtonStyle
    return buttons(
        ("Download", "get", file.file_id, style.primary),
        ("Keep longer", "keep", file.file_id, style.secondary),
        ("Delete", "ask", file.file_id, style.danger),
    )


def _confirm(file_id: str) -> nextcord.ui.View:
    return buttons(("Delete for ever", "gone", file_id, nextcord.ButtonStyle.danger))
